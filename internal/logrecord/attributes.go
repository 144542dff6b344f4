package logrecord

import (
	"slices"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/monban/monban/internal/event"
)

// PutAttributes writes the fields with these keys of r to attributes that may be there
// already, such as those of a data point.
func PutAttributes[R any](m pcommon.Map, t *event.Table[R], r *R, keys ...string) {
	s := sink{m}
	for _, k := range keys {
		t.PutField(r, k, s)
	}
}

// ReadAttributes fills r from attributes. What the table does not know is ignored.
func ReadAttributes[R any](m pcommon.Map, t *event.Table[R], r *R) {
	var x value
	next := 0
	for k, v := range m.All() {
		x.v = v
		next = t.Set(r, k, &x, next)
	}
}

// deviceKeys are the attributes that tell a device, best first.
var deviceKeys = [...]string{"device.id", "source.device.id", "host.id", "host.name", "service.instance.id", "service.name"}

// Device is the device that a data point or a record is of, by its own attributes or those of its
// resource, "" when neither tells.
func Device(resource, attributes pcommon.Map) string {
	for _, k := range deviceKeys {
		for _, m := range [...]pcommon.Map{attributes, resource} {
			if v, ok := m.Get(k); ok && v.AsString() != "" {
				return v.AsString()
			}
		}
	}
	return ""
}

// Entity lists attributes as key=value, sorted, without those that skip names.
func Entity(m pcommon.Map, skip func(key string) bool) (all []string) {
	for k, v := range m.All() {
		if !skip(k) {
			all = append(all, k+"="+v.AsString())
		}
	}
	slices.Sort(all)
	return all
}
