package manifest

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// What is left of a component's settings.
const (
	mostSettings = 500
	mostBytes    = 512 // of one setting
	mostDepth    = 32
)

// Redacted stands where a secret was.
const Redacted = "[REDACTED]"

// secret are the names under which no value is shown, whatever it is: what the Collector itself marks as
// opaque arrives redacted, but by far not every component marks all of its secrets.
var secret = regexp.MustCompile(`(?i)(pass(word|wd|phrase)?$|passw|secret|token|credential|api_?key|(access|shared|account|encryption|signing|master|hmac)_?key|psk$|private|(key|cert|ca)_pem|htpasswd|inline|auth(orization)?_?header|cookie|bearer|signature|salt|community$|dsn$|connection_?string|webhook)`)

// authorization is what a secret is called by some, such as the TPM's of TLS, and a section of settings by others.
var authorization = regexp.MustCompile(`(?i)(^|_)auth$`)

// lists are the names whose members have names that their user chose, so that any of them may be secret.
var lists = regexp.MustCompile(`(?i)^(([a-z]+_)?headers|query_?params?|form|static_metadata|metadata_headers)$`)

// notSecret are names that look like one and aren't: files, switches and the names of things.
var notSecret = regexp.MustCompile(`(?i)(_file|_path|_url|_id|_ttl|_timeout|_interval|_enabled)$|^(token_file|filename|authenticator)$`)

// Settings gives a component's settings as path::to::it=value in the order of the paths, without secrets,
// and how many were left out.
func Settings(config map[string]any) (list []string, cut uint32) {
	walk(config, "", func(path, value string) {
		if len(list) >= mostSettings {
			cut++
			return
		}
		list = append(list, shorten(path+"="+value, mostBytes))
	})
	return list, cut
}

// walk visits all values that are set, without secrets.
func walk(v any, path string, visit func(path, value string)) { walkIn(v, path, false, 0, visit) }

func walkIn(v any, path string, hidden bool, depth int, visit func(path, value string)) {
	join := func(k string) string {
		if path == "" {
			return k
		}
		return path + "::" + k
	}
	if depth > mostDepth {
		visit(path, "…")
		return
	}
	switch v := v.(type) {
	case nil:
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			_, on := v[k].(bool)
			_, text := v[k].(string)
			hide := hidden || lists.MatchString(k) || text && authorization.MatchString(k) ||
				secret.MatchString(k) && !notSecret.MatchString(k) && !on
			walkIn(v[k], join(k), hide, depth+1, visit)
		}
	case map[any]any:
		m := map[string]any{}
		for k, x := range v {
			m[fmt.Sprint(k)] = x
		}
		walkIn(m, path, hidden, depth, visit)
	case []any:
		for i, x := range v {
			walkIn(x, join(fmt.Sprint(i)), hidden, depth+1, visit)
		}
	case []string:
		for i, x := range v {
			walkIn(x, join(fmt.Sprint(i)), hidden, depth+1, visit)
		}
	default:
		text := scalar(v)
		switch {
		case text == "":
		case hidden:
			visit(path, Redacted)
		default:
			visit(path, Scrub(text))
		}
	}
}

func scalar(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case time.Duration:
		return v.String()
	case fmt.Stringer:
		return v.String()
	}
	return fmt.Sprint(v)
}

var (
	userinfo = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^/?#@\s"']*(?:@[^/?#@\s"']*)*@`)
	query    = regexp.MustCompile(`([?&][^=&#\s"']+=)[^&#\s"']+`)
	pem      = regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]*-----.*?(-----END [A-Z0-9 ]*-----|$)`)
	bearer   = regexp.MustCompile(`(?i)\b(bearer|basic|apikey|digest)[ :=]+[A-Za-z0-9._~+/=-]{8,}`)
	assigned = regexp.MustCompile(`(?i)\b(password|passwd|secret|token|api_?key)(["']?\s*[:=]\s*["']?)[^\s"',;&]+`)
)

// Scrub removes from a text what has the form of a secret: the user in front of a URL's host, the values of
// its query, keys in PEM, the credentials of an Authorization header. The text is valid UTF-8 then, and short.
func Scrub(s string) string {
	s = strings.ToValidUTF8(shorten(s, 4*mostBytes), "\ufffd")
	if !strings.ContainsAny(s, ":=- ") {
		return s
	}
	s = pem.ReplaceAllString(s, Redacted)
	if strings.Contains(s, "://") {
		s = userinfo.ReplaceAllString(s, "${1}"+Redacted+"@")
		s = query.ReplaceAllString(s, "${1}"+Redacted)
	}
	s = bearer.ReplaceAllString(s, "${1} "+Redacted)
	return assigned.ReplaceAllString(s, "${1}${2}"+Redacted)
}

func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most] + "…"
}

func sub(m map[string]any, key string) map[string]any {
	s, _ := m[key].(map[string]any)
	return s
}

func texts(v any) (all []string) {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			all = append(all, scalar(x))
		}
	case []string:
		all = v
	}
	return all
}
