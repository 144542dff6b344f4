package manifestextension

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensioncapabilities"
	"go.opentelemetry.io/collector/pipeline"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/monban/monban/extension/manifestextension/internal/metadata"
	"github.com/monban/monban/internal/manifest"
)

// path is where the manifest is answered at.
const path = "/manifest"

type manifestExtension struct {
	cfg       *Config
	set       extension.Settings
	tel       *metadata.TelemetryBuilder
	model     *manifest.Model
	publisher *manifest.Publisher

	server   *http.Server
	addr     net.Addr
	serving  sync.WaitGroup
	loopback bool
}

var (
	_ extensioncapabilities.ConfigWatcher   = (*manifestExtension)(nil)
	_ extensioncapabilities.PipelineWatcher = (*manifestExtension)(nil)
	_ componentstatus.Watcher               = (*manifestExtension)(nil)
	_ manifest.Source                       = (*manifestExtension)(nil)
)

func newManifest(cfg *Config, set extension.Settings) (*manifestExtension, error) {
	tel, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	who := manifest.Identity{Name: set.BuildInfo.Command, Version: set.BuildInfo.Version, Started: time.Now()}
	for key, to := range map[string]*string{"service.name": &who.Name, "service.version": &who.Version, "service.instance.id": &who.Instance} {
		if v, ok := set.Resource.Attributes().Get(key); ok && v.AsString() != "" {
			*to = v.AsString()
		}
	}
	m := manifest.New(who)
	return &manifestExtension{cfg: cfg, set: set, tel: tel, model: m, publisher: manifest.NewPublisher(m, cfg.ChangeInterval)}, nil
}

// Start opens the endpoint, so that what is wrong with it is said at once.
func (e *manifestExtension) Start(ctx context.Context, host component.Host) error {
	e.model.Know(types(host))
	listener, err := e.cfg.ToListener(ctx)
	if err != nil {
		return fmt.Errorf("listening on %s for the manifest: %w", e.cfg.NetAddr.Endpoint, err)
	}
	e.addr = listener.Addr()
	if a, err := netip.ParseAddrPort(e.addr.String()); err == nil {
		e.loopback = a.Addr().IsLoopback()
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+path, e.answer)
	e.server, err = e.cfg.ToServer(ctx, host.GetExtensions(), e.set.TelemetrySettings, e.counted(mux))
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	e.server.MaxHeaderBytes = 16 << 10
	e.serving.Go(func() {
		if err := e.server.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
			componentstatus.ReportStatus(host, componentstatus.NewPermanentErrorEvent(fmt.Errorf("answering on %s: %w", e.addr, err)))
		}
	})
	e.set.Logger.Info("The manifest is answered", zap.String("url", "http://"+e.addr.String()+path))
	return nil
}

// Shutdown closes the endpoint. What subscribed has ended before.
func (e *manifestExtension) Shutdown(ctx context.Context) error {
	var err error
	if e.server != nil {
		if err = e.server.Shutdown(ctx); err != nil {
			err = errors.Join(err, e.server.Close())
		}
	}
	e.serving.Wait()
	e.tel.Shutdown()
	return err
}

// NotifyConfig takes the effective configuration, in which the Collector has redacted what components mark as secret.
func (e *manifestExtension) NotifyConfig(_ context.Context, conf *confmap.Conf) error {
	e.model.Configure(conf.ToStringMap())
	return nil
}

// Ready begins to tell.
func (e *manifestExtension) Ready() error {
	e.publisher.Ready(true)
	return nil
}

// NotReady ends it.
func (e *manifestExtension) NotReady() error {
	e.publisher.Ready(false)
	return nil
}

var healths = map[componentstatus.Status]manifest.Health{
	componentstatus.StatusStarting:         manifest.Starting,
	componentstatus.StatusOK:               manifest.OK,
	componentstatus.StatusRecoverableError: manifest.Recoverable,
	componentstatus.StatusPermanentError:   manifest.Permanent,
	componentstatus.StatusFatalError:       manifest.Fatal,
	componentstatus.StatusStopping:         manifest.Stopping,
	componentstatus.StatusStopped:          manifest.Stopped,
}

// ComponentStatusChanged takes how a component fares.
func (e *manifestExtension) ComponentStatusChanged(of *componentstatus.InstanceID, event *componentstatus.Event) {
	health, ok := healths[event.Status()]
	if !ok {
		health = manifest.Unknown
	}
	var why string
	if err := event.Err(); err != nil {
		why = err.Error()
	}
	var pipelines []string
	of.AllPipelineIDs(func(id pipeline.ID) bool {
		pipelines = append(pipelines, id.String())
		return true
	})
	i := manifest.Instance{Kind: manifest.Kind(strings.ToLower(of.Kind().String())), ID: of.ComponentID().String(), Pipelines: strings.Join(pipelines, " ")}
	if e.model.Report(i, health, why, event.Timestamp()) {
		e.publisher.Wake()
	}
}

// Subscribe is as [manifest.Source] says.
func (e *manifestExtension) Subscribe(tell func(*manifest.Snapshot) error) (cancel func()) {
	return e.publisher.Subscribe(func(s *manifest.Snapshot) error {
		if err := tell(s); err != nil {
			e.tel.ManifestPublishErrors.Add(context.Background(), 1)
			return err
		}
		e.tel.ManifestPublished.Add(context.Background(), 1)
		return nil
	})
}

func (e *manifestExtension) answer(w http.ResponseWriter, _ *http.Request) {
	b, err := encode(e.model.Snapshot("", time.Now()))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(append(b, '\n')) // who asked may be gone
}

// counted counts the answers, and refuses what a web page somewhere made a browser on this machine ask: it
// comes under the page's name, which leads here only since its owner says so.
func (e *manifestExtension) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &coder{ResponseWriter: w, code: http.StatusOK}
		if e.loopback && !local(r.Host) {
			http.Error(c, "this address answers to localhost and to IP addresses only", http.StatusMisdirectedRequest)
		} else {
			next.ServeHTTP(c, r)
		}
		e.tel.ManifestRequests.Add(r.Context(), 1, metric.WithAttributeSet(attribute.NewSet(attribute.Int("code", c.code))))
	})
}

func local(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil || host == "localhost"
}

type coder struct {
	http.ResponseWriter
	code int
}

func (c *coder) WriteHeader(code int) {
	c.code = code
	c.ResponseWriter.WriteHeader(code)
}
