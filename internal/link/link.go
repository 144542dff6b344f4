// Package link is a component's connection to a server elsewhere, as those see it who look after the Collector. It promises
// that the component's health says when nothing gets through and when it does again, once for each change and at
// most once a minute for another reason; and that what waits on disk at the end is not called lost. It gives up
// telling of each fault: those are for the component's log and counters.
package link

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"

	"github.com/monban/monban/internal/seldom"
)

// Link is the health of a connection that may have several parts, as partitions; a component with one
// calls it "". The zero Link is ready; its methods are safe for concurrent use.
type Link struct {
	mu     sync.Mutex
	host   component.Host // nil before Begin and after End
	faults map[string]string
	told   string // reason that the Collector was told last
	at     time.Time
}

// Begin is for Start, with its host. What was told before is told now.
func (l *Link) Begin(host component.Host) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.host = host
	if len(l.faults) > 0 {
		l.tell()
	}
}

// Down tells that nothing gets through, and why. What a part is must be bounded.
func (l *Link) Down(part string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.faults == nil {
		l.faults = map[string]string{}
	}
	l.faults[part] = err.Error()
	l.tell()
}

// Up tells that something got through, or that there is no such part any more. It is made to be called for each batch.
func (l *Link) Up(part string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, down := l.faults[part]; !down {
		return
	}
	delete(l.faults, part)
	l.tell()
}

// End is for the beginning of Shutdown: what ends is not ill.
func (l *Link) End() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.host = nil
}

// tell reports what is new. The lock is held meanwhile, so that the last report is the last change.
func (l *Link) tell() {
	if l.host == nil {
		return
	}
	if len(l.faults) == 0 {
		l.told = ""
		componentstatus.ReportStatus(l.host, componentstatus.NewEvent(componentstatus.StatusOK))
		return
	}
	reason := l.faults[slices.Min(slices.Collect(maps.Keys(l.faults)))]
	if n := len(l.faults) - 1; n > 0 {
		reason = fmt.Sprintf("%s (and %d more)", reason, n)
	}
	if l.told != "" && (reason == l.told || time.Since(l.at) < seldom.Each) {
		return
	}
	l.told, l.at = reason, time.Now()
	componentstatus.ReportStatus(l.host, componentstatus.NewRecoverableErrorEvent(errors.New(reason)))
}
