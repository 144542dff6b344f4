package manifest

import (
	"slices"
	"sync"
	"time"
)

// A Source gives snapshots, such as the manifest extension. Subscribe calls tell with all that there is once
// the Collector has started, then with what changed, one call at a time. When tell gives an error it is called
// again later, with what is not told yet. The function that Subscribe returns ends it, and waits for a call
// that is under way.
type Source interface {
	Subscribe(tell func(*Snapshot) error) (cancel func())
}

// retryAfter is how long after an error it is told again.
const retryAfter = 5 * time.Second

// Publisher tells subscribers of a model's changes, at most one time an interval each. What changed and changed
// back meanwhile is not told.
type Publisher struct {
	model    *Model
	interval time.Duration

	mu    sync.Mutex
	ready bool
	subs  map[chan struct{}]bool
}

// NewPublisher makes a publisher, which tells nothing before Ready.
func NewPublisher(m *Model, interval time.Duration) *Publisher {
	return &Publisher{model: m, interval: interval, subs: map[chan struct{}]bool{}}
}

// Ready says whether the pipelines run, so that what is told gets somewhere.
func (p *Publisher) Ready(yes bool) {
	p.mu.Lock()
	p.ready = yes
	p.mu.Unlock()
	p.Wake()
}

// Wake says that the model may have changed. It never waits.
func (p *Publisher) Wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ready {
		return
	}
	for wake := range p.subs {
		select {
		case wake <- struct{}{}:
		default: // it is still to look
		}
	}
}

func (p *Publisher) isReady() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ready
}

// Subscribe is as [Source] says.
func (p *Publisher) Subscribe(tell func(*Snapshot) error) (cancel func()) {
	wake, done := make(chan struct{}, 1), make(chan struct{})
	p.mu.Lock()
	p.subs[wake] = true
	p.mu.Unlock()
	var running sync.WaitGroup
	running.Go(func() { p.serve(tell, wake, done) })
	p.Wake()
	var once sync.Once
	return func() {
		once.Do(func() {
			p.mu.Lock()
			delete(p.subs, wake)
			p.mu.Unlock()
			close(done)
		})
		running.Wait()
	}
}

func (p *Publisher) serve(tell func(*Snapshot) error, wake, done chan struct{}) {
	var told *Snapshot
	for next := time.Now(); ; {
		select {
		case <-done:
			return
		case <-wake:
		}
		if pause := time.Until(next); pause > 0 {
			rest := time.NewTimer(pause)
			select {
			case <-done:
				rest.Stop()
				return
			case <-rest.C:
			}
		}
		if !p.isReady() {
			continue
		}
		why := Start
		if told != nil {
			why = Change
		}
		now := p.model.Snapshot(why, time.Now())
		news, some := now.Since(told)
		if !some {
			continue
		}
		if err := tell(news); err != nil {
			next = time.Now().Add(retryAfter)
			select {
			case wake <- struct{}{}:
			default:
			}
			continue
		}
		told, next = now, time.Now().Add(p.interval)
	}
}

// Since leaves of s what is not the same in old, and the orchestrator; some is whether there is anything.
func (s *Snapshot) Since(old *Snapshot) (news *Snapshot, some bool) {
	if old == nil {
		return s, true
	}
	d := &Snapshot{Orchestrator: s.Orchestrator}
	for _, p := range s.Pipelines {
		if !slices.ContainsFunc(old.Pipelines, func(q Pipeline) bool { return q.ID == p.ID && q.state == p.state }) {
			d.Pipelines = append(d.Pipelines, p)
		}
	}
	for _, p := range s.Sources {
		if !slices.ContainsFunc(old.Sources, func(q DataSource) bool { return q.ID == p.ID && q.state == p.state }) {
			d.Sources = append(d.Sources, p)
		}
	}
	for _, p := range s.Manifests {
		if !slices.ContainsFunc(old.Manifests, func(q ProcessorManifest) bool { return q.ID == p.ID && q.Kind == p.Kind && q.state == p.state }) {
			d.Manifests = append(d.Manifests, p)
		}
	}
	same := s.Orchestrator.state == old.Orchestrator.state && slices.Equal(s.Orchestrator.Unwell, old.Orchestrator.Unwell)
	return d, !same || len(d.Pipelines)+len(d.Sources)+len(d.Manifests) > 0
}
