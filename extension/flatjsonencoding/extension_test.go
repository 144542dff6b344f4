package flatjsonencoding

import (
	"bytes"
	"strings"
	"testing"

	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/monban/monban/extension/flatjsonencoding/internal/metadata"
	"github.com/monban/monban/internal/flatjson/flatjsontest"
)

func TestThereAndBack(t *testing.T) {
	ext, err := NewFactory().Create(t.Context(), extensiontest.NewNopSettings(metadata.Type), NewFactory().CreateDefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr("observer.name", "gate")
	records := rl.ScopeLogs().AppendEmpty().LogRecords()
	for range 3 {
		flatjsontest.Usual(records.AppendEmpty())
	}
	b, err := ext.(plog.Marshaler).MarshalLogs(ld)
	if err != nil || bytes.Count(b, []byte("\n")) != 3 || !bytes.Contains(b, []byte(`"observer.name":"gate"`)) {
		t.Fatalf("%v\n%s", err, b)
	}
	back, err := ext.(plog.Unmarshaler).UnmarshalLogs(b)
	if err != nil || back.LogRecordCount() != 3 {
		t.Fatalf("%d records, %v", back.LogRecordCount(), err)
	}
	lr := back.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(2)
	if v, _ := lr.Attributes().Get("flow.start"); lr.EventName() != "network.flow" || v.Int() != 1_754_000_000_023_456_789 {
		t.Errorf("%s, started %s", lr.EventName(), v.AsString())
	}
	if _, err := ext.(plog.Unmarshaler).UnmarshalLogs([]byte("nothing")); err == nil || !strings.Contains(err.Error(), "line 1") {
		t.Errorf("no JSON was read: %v", err)
	}
}
