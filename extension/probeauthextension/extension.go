package probeauthextension

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensionauth"
	"go.opentelemetry.io/collector/extension/extensionmiddleware"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	own "github.com/monban/monban/extension/probeauthextension/internal/metadata"
	"github.com/monban/monban/internal/probe"
)

// complainEach is how often the log says that senders are refused for one reason.
const complainEach = time.Minute

// errUnknown is all that a sender gets to know.
var errUnknown = errors.New("this sender is not a known probe; the receiving side's log says why")

type probeAuth struct {
	cfg  *Config
	log  *zap.Logger
	tel  *own.TelemetryBuilder
	host component.Host

	known   atomic.Pointer[probe.Registry]
	file    *probe.File
	problem string // with the file, "" for none
	quit    context.CancelFunc
	looking sync.WaitGroup

	mu   sync.Mutex
	said map[probe.Reason]*complaint
}

type complaint struct {
	last  time.Time
	since uint64 // senders that were not told of
}

var (
	_ extensionauth.Server           = (*probeAuth)(nil)
	_ extensionmiddleware.HTTPServer = (*probeAuth)(nil)
	_ extensionmiddleware.GRPCServer = (*probeAuth)(nil)
)

func newProbeAuth(cfg *Config, set extension.Settings) (*probeAuth, error) {
	tel, err := own.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	return &probeAuth{cfg: cfg, log: set.Logger, tel: tel, said: map[probe.Reason]*complaint{}}, nil
}

// Start reads the registry, so that what is wrong with it is said at once.
func (p *probeAuth) Start(_ context.Context, host component.Host) error {
	file, known, err := probe.Open(p.cfg.Registry)
	if err != nil {
		return err
	}
	p.file, p.host = file, host
	p.take(known)
	ctx, quit := context.WithCancel(context.Background())
	p.quit = quit
	p.looking.Go(func() {
		tick := time.NewTicker(p.cfg.ReloadInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				p.look()
			}
		}
	})
	return nil
}

// Shutdown stops looking at the file.
func (p *probeAuth) Shutdown(context.Context) error {
	if p.quit != nil {
		p.quit()
	}
	p.looking.Wait()
	p.tel.Shutdown()
	return nil
}

func (p *probeAuth) take(known *probe.Registry) {
	p.known.Store(known)
	p.tel.ProbeAuthRegistryProbes.Record(context.Background(), int64(len(known.Names())))
}

// look takes a new registry. One that can't be used is said once, in the log and as the component's health, until
// it can be used again or is broken in another way.
func (p *probeAuth) look() {
	known, err := p.file.Look()
	switch {
	case err != nil && err.Error() == p.problem:
	case err != nil:
		p.problem = err.Error()
		p.count(p.tel.ProbeAuthReloads, "result", "failed")
		p.log.Error("The registry of probes can't be used; the one read before stays in use", zap.Error(err), zap.Int("probes", len(p.known.Load().Names())))
		componentstatus.ReportStatus(p.host, componentstatus.NewRecoverableErrorEvent(err))
	default:
		if known != nil {
			added, removed := differ(p.known.Load().Names(), known.Names())
			p.take(known)
			p.count(p.tel.ProbeAuthReloads, "result", "taken")
			p.log.Info("A new registry of probes is in use", zap.Int("probes", len(known.Names())), zap.Strings("added", added), zap.Strings("removed", removed))
		}
		if p.problem != "" && (known != nil || p.file.Settled()) {
			p.problem = ""
			p.log.Info("The registry of probes can be used again")
			componentstatus.ReportStatus(p.host, componentstatus.NewEvent(componentstatus.StatusOK))
		}
	}
}

// differ lists the first of the names that came and went.
func differ(before, after []string) (added, removed []string) {
	const most = 20
	only := func(a, b []string) (list []string) {
		in := map[string]bool{}
		for _, n := range b {
			in[n] = true
		}
		for _, n := range a {
			if !in[n] && len(list) < most {
				list = append(list, n)
			}
		}
		return list
	}
	return only(after, before), only(before, after)
}

func (p *probeAuth) count(c metric.Int64Counter, key, value string) {
	c.Add(context.Background(), 1, metric.WithAttributeSet(attribute.NewSet(attribute.String(key, value))))
}

// judge decides on one request, and puts what it decided into the context.
func (p *probeAuth) judge(ctx context.Context, state *tls.ConnectionState, authorization []string) (context.Context, error) {
	shown := probe.Shown{Certificate: verified(state), Token: probe.Bearer(authorization)}
	v := p.known.Load().Judge(shown, time.Now())
	info := client.FromContext(ctx)
	switch {
	case v.Reason == "":
		p.count(p.tel.ProbeAuthAccepted, "probe", v.Name)
	case p.cfg.Unknown == refuse || v.Reason.Banned():
		p.count(p.tel.ProbeAuthRefused, "reason", string(v.Reason))
		p.complain("A sender is refused", v, shown, info)
		return ctx, errUnknown
	default:
		p.count(p.tel.ProbeAuthQuarantined, "reason", string(v.Reason))
		p.complain("A sender is unknown; its data is marked", v, shown, info)
	}
	info.Auth = probe.Voucher{Verdict: v}
	return client.NewContext(ctx, info), nil
}

// verified is the certificate that TLS has verified. One that was not asked for, or that no authority was there to verify with, is none.
func verified(state *tls.ConnectionState) *x509.Certificate {
	if state == nil || len(state.VerifiedChains) == 0 || len(state.VerifiedChains[0]) == 0 {
		return nil
	}
	return state.VerifiedChains[0][0]
}

// complain says the first of each reason, and how many more there were when it is said again.
func (p *probeAuth) complain(what string, v probe.Verdict, shown probe.Shown, info client.Info) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.said[v.Reason]
	if c == nil {
		c = &complaint{}
		p.said[v.Reason] = c
	}
	now := time.Now()
	if now.Sub(c.last) < complainEach {
		c.since++
		return
	}
	c.last = now
	fields := []zap.Field{zap.String("reason", string(v.Reason)), zap.Uint64("since", c.since)}
	c.since = 0
	if info.Addr != nil {
		fields = append(fields, zap.String("address", info.Addr.String()))
	}
	if v.Name != "" {
		fields = append(fields, zap.String("probe", v.Name))
	}
	if shown.Certificate != nil {
		fields = append(fields, zap.String("subject", shown.Certificate.Subject.String()), zap.Strings("dns", shown.Certificate.DNSNames))
	}
	p.log.Warn(what, fields...)
}

// Authenticate is for receivers that name this extension under auth. A gRPC server's context has the state of TLS; that
// of an HTTP server has not, so there a sender is known by its token only. Under middlewares both are known.
func (p *probeAuth) Authenticate(ctx context.Context, sources map[string][]string) (context.Context, error) {
	var authorization []string
	for k, v := range sources {
		if strings.EqualFold(k, "authorization") {
			authorization = append(authorization, v...)
		}
	}
	return p.judge(ctx, peerTLS(ctx), authorization)
}

// GetHTTPHandler is for HTTP servers that name this extension under middlewares.
func (p *probeAuth) GetHTTPHandler(context.Context) (extensionmiddleware.WrapHTTPHandlerFunc, error) {
	return func(_ context.Context, next http.Handler) (http.Handler, error) {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, err := p.judge(r.Context(), r.TLS, r.Header.Values("Authorization"))
			if err != nil {
				w.Header().Set("WWW-Authenticate", "Bearer")
				http.Error(w, err.Error(), http.StatusUnauthorized)
				return
			}
			next.ServeHTTP(w, r.WithContext(ctx))
		}), nil
	}, nil
}

// GetGRPCServerOptions is for gRPC servers that name this extension under middlewares.
func (p *probeAuth) GetGRPCServerOptions(context.Context) ([]grpc.ServerOption, error) {
	judge := func(ctx context.Context) (context.Context, error) {
		ctx, err := p.judge(ctx, peerTLS(ctx), slices.Clone(metadata.ValueFromIncomingContext(ctx, "authorization")))
		if err != nil {
			return ctx, status.Error(codes.Unauthenticated, err.Error())
		}
		return ctx, nil
	}
	return []grpc.ServerOption{
		grpc.ChainUnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			ctx, err := judge(ctx)
			if err != nil {
				return nil, err
			}
			return next(ctx, req)
		}),
		grpc.ChainStreamInterceptor(func(srv any, s grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			ctx, err := judge(s.Context())
			if err != nil {
				return err
			}
			return next(srv, &stream{s, ctx})
		}),
	}, nil
}

// stream is a stream whose context says who sends.
type stream struct {
	grpc.ServerStream
	ctx context.Context
}

// Context gives the context.
func (s *stream) Context() context.Context { return s.ctx }

func peerTLS(ctx context.Context) *tls.ConnectionState {
	if p, ok := peer.FromContext(ctx); ok {
		if t, ok := p.AuthInfo.(credentials.TLSInfo); ok {
			return &t.State
		}
	}
	return nil
}
