package reference

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Breaks lists what a reader of the earlier schema would stumble over in documents of the later one. Between
// two schemas of one version there must be nothing: what is new is only added.
func Breaks(earlier, later []byte) ([]string, error) {
	var was, is map[string]any
	if err := json.Unmarshal(earlier, &was); err != nil {
		return nil, fmt.Errorf("reading the earlier schema: %w", err)
	}
	if err := json.Unmarshal(later, &is); err != nil {
		return nil, fmt.Errorf("reading the later schema: %w", err)
	}
	return compare("", was, is), nil
}

// same are the words of a schema that must not change, nor come or go: a reader may rely on each, and an index
// that was made by them can't be changed.
var same = []string{"$id", "$ref", "format", "pattern", "unit", "elasticsearch", "additionalProperties", "version"}

func compare(at string, was, is map[string]any) (broken []string) {
	here := at
	if here == "" {
		here = "the schema"
	}
	say := func(format string, args ...any) { broken = append(broken, here+" "+fmt.Sprintf(format, args...)) }
	for _, word := range same {
		if !reflect.DeepEqual(was[word], is[word]) {
			say("had %s %v and has %v", word, was[word], is[word])
		}
	}
	if more := beyond(set(is["type"]), set(was["type"])); len(more) > 0 || len(set(is["type"])) == 0 && len(set(was["type"])) > 0 {
		say("was of type %v and is of type %v", was["type"], is["type"])
	}
	if closed := values(was); closed != nil {
		if open := values(is); open == nil || len(beyond(open, closed)) > 0 {
			say("had only the values %v and has %v", closed, open)
		}
	}
	if gone := beyond(set(was["required"]), set(is["required"])); len(gone) > 0 {
		say("always had %v, which may be absent now", gone)
	}
	before, after := asObject(was["properties"]), asObject(is["properties"])
	for _, key := range slices.Sorted(maps.Keys(before)) {
		now, ok := after[key]
		if !ok {
			say("had a key %s, which is gone", key)
			continue
		}
		broken = append(broken, compare(at+"/"+key, asObject(before[key]), asObject(now))...)
	}
	if was["additionalProperties"] == false {
		for _, key := range slices.Sorted(maps.Keys(after)) {
			if _, ok := before[key]; !ok {
				say("is closed, and has a new key %s", key)
			}
		}
	}
	if was["items"] != nil || is["items"] != nil {
		broken = append(broken, compare(at+"[]", asObject(was["items"]), asObject(is["items"]))...)
	}
	return broken
}

func asObject(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

// set is a word that may be one value or a list.
func set(v any) []any {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		return v
	}
	return []any{v}
}

// values are those that a schema allows, nil when it allows any.
func values(s map[string]any) []any {
	if v, ok := s["const"]; ok {
		return []any{v}
	}
	return set(s["enum"])
}

// beyond are the members of a that b does not have.
func beyond(a, b []any) (more []any) {
	for _, x := range a {
		if !slices.ContainsFunc(b, func(y any) bool { return reflect.DeepEqual(x, y) }) {
			more = append(more, x)
		}
	}
	return more
}
