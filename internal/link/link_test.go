package link

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/monban/monban/internal/seldom"
)

// host notes what it is told.
type host struct {
	component.Host
	told []string
}

func (h *host) Report(e *componentstatus.Event) {
	s := "ok"
	if e.Status() != componentstatus.StatusOK {
		s = e.Err().Error()
	}
	h.told = append(h.told, s)
}

func TestLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{Host: componenttest.NewNopHost()}
		var l Link
		step := func(what string, want ...string) {
			t.Helper()
			if !slices.Equal(h.told, want) {
				t.Errorf("%s: told %q, want %q", what, h.told, want)
			}
			h.told = nil
		}
		l.Up("")
		l.Down("", errors.New("refused"))
		step("before the start")
		l.Begin(h)
		step("what was before the start", "refused")
		l.Down("", errors.New("refused"))
		l.Down("", errors.New("no password"))
		step("the same, and another reason at once")
		time.Sleep(seldom.Each)
		l.Down("", errors.New("no password"))
		step("another reason after a minute", "no password")
		time.Sleep(seldom.Each)
		l.Down("", errors.New("no password"))
		step("the same after a minute")
		l.Up("")
		l.Up("")
		step("over", "ok")
		l.Down("b/1", errors.New("one"))
		l.Down("a/1", errors.New("two"))
		l.Up("b/1")
		step("one of two is over", "one")
		l.Up("a/1")
		step("both are over", "ok")
		l.Down("", errors.New("three"))
		time.Sleep(seldom.Each)
		l.Down("x", errors.New("four"))
		step("several", "three", "three (and 1 more)")
		l.End()
		l.Up("")
		l.Up("x")
		l.Down("", errors.New("the Collector ends"))
		step("after the end")
	})
}

func TestLinkWithoutAReporter(t *testing.T) {
	var l Link
	l.Begin(componenttest.NewNopHost())
	l.Down("", errors.New("away"))
	l.Up("")
}

func TestKept(t *testing.T) {
	const drops = "Exporting failed. Dropping data."
	core, seen := observer.New(zap.InfoLevel)
	logger := Kept(zap.New(core, zap.AddStacktrace(zap.ErrorLevel), zap.AddCaller())).With(zap.String("exporter", "x"))
	interrupted := errors.New("interrupted due to shutdown: no connection")
	logger.Error(drops, zap.Error(interrupted), zap.Int("dropped_items", 7))
	logger.Error(drops+" Try enabling sending_queue", zap.Error(interrupted), zap.Int("dropped_items", 7))
	logger.Error(drops, zap.Error(errors.New("not retryable error: bad")), zap.Int("dropped_items", 8))
	logger.Error("Another", zap.Error(interrupted))
	logger.Debug("Not asked for")
	all := seen.All()
	if len(all) != 4 {
		t.Fatalf("%d entries: %v", len(all), all)
	}
	for i, e := range all {
		fields := e.ContextMap()
		if kept := i < 2; kept {
			if e.Level != zapcore.InfoLevel || e.Stack != "" || !strings.Contains(e.Message, "stays in the queue on disk") || fields["items"] != int64(7) || fields["dropped_items"] != nil {
				t.Errorf("%d: %s %s %v, stack %q", i, e.Level, e.Message, fields, e.Stack)
			}
		} else if e.Level != zapcore.ErrorLevel || e.Stack == "" {
			t.Errorf("%d: %s %s has lost its level or stack", i, e.Level, e.Message)
		}
		if fields["exporter"] != "x" || !e.Caller.Defined || fields["error"] == nil {
			t.Errorf("%d: %v is incomplete, caller %v", i, fields, e.Caller)
		}
	}
	if all[2].Message != drops || all[2].ContextMap()["dropped_items"] != int64(8) {
		t.Errorf("what is lost is said otherwise: %v", all[2])
	}
	quiet, none := observer.New(zap.WarnLevel)
	Kept(zap.New(quiet)).Error(drops, zap.Error(interrupted))
	if none.Len() > 0 {
		t.Errorf("what is not asked for was written: %v", none.All())
	}
}
