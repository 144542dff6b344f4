package elastic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Identify finds out what the server is and what it has.
func (c *Client) Identify(ctx context.Context) (Server, error) {
	var s Server
	out, header, err := c.do(ctx, http.MethodGet, "/", "", nil)
	var e *Error
	if err != nil && (!errors.As(err, &e) || e.Status != http.StatusMethodNotAllowed && e.Status != http.StatusForbidden) {
		return s, err
	}
	var root struct {
		Version struct {
			Number       string `json:"number"`
			Distribution string `json:"distribution"`
		} `json:"version"`
	}
	if err == nil {
		if json.Unmarshal(out, &root) != nil || root.Version.Number == "" {
			return s, fmt.Errorf("what answers is neither Elasticsearch nor OpenSearch: %s", cut(string(out)))
		}
	} else { // one without that page, or without the right to see it
		out, header, err = c.do(ctx, http.MethodGet, "/_nodes/_local?filter_path=nodes.*.version", "", nil)
		if err != nil {
			return s, err
		}
		var local struct {
			Nodes map[string]struct {
				Version string `json:"version"`
			} `json:"nodes"`
		}
		_ = json.Unmarshal(out, &local)
		for _, n := range local.Nodes {
			root.Version.Number = n.Version
		}
	}
	s.OpenSearch = root.Version.Distribution == "opensearch" || header.Get("X-Opensearch-Version") != ""
	s.Major, s.Minor = parseVersion(root.Version.Number)
	if least := 8; !s.OpenSearch && s.Major < least || s.OpenSearch && s.Major < 2 {
		return s, fmt.Errorf("%s is too old: Elasticsearch 8 or OpenSearch 2 is the least", s)
	}
	s.Lifecycle, err = c.lifecycle(ctx, s)
	return s, err
}

// lifecycle finds out what the server has to make room. A right that is missing counts as none; a
// server that is busy or ill does not, or its templates would be taken for others.
func (c *Client) lifecycle(ctx context.Context, s Server) (Lifecycle, error) {
	path, l := "/_ilm/policy", ILM
	if s.OpenSearch {
		path, l = "/_plugins/_ism/policies", ISM
	}
	_, _, err := c.do(ctx, http.MethodGet, path, "", nil)
	var e *Error
	switch {
	case err == nil:
		return l, nil
	case !errors.As(err, &e) || e.Status >= 500 || e.Status == http.StatusRequestTimeout || e.Status == http.StatusTooManyRequests:
		return NoLifecycle, fmt.Errorf("asking what the server has to make room: %w", err)
	case s.since(8, 14):
		return StreamLifecycle, nil
	}
	return NoLifecycle, nil
}

// meta is what our templates say about themselves.
type meta struct {
	Managed string `json:"managed_by"`
	Version int    `json:"version"`
	Content string `json:"content"`
}

// found is what is known of a template on a server.
type found struct {
	meta
	retention string // of the data streams that are made of it
}

// installed lists the templates that the server has, by their path.
func (c *Client) installed(ctx context.Context) (map[string]found, error) {
	have := map[string]found{}
	type template struct {
		Meta     meta `json:"_meta"`
		Template struct {
			Lifecycle struct {
				Retention string `json:"data_retention"`
			} `json:"lifecycle"`
		} `json:"template"`
	}
	for _, path := range []string{"/_component_template/", "/_index_template/"} {
		out, _, err := c.do(ctx, http.MethodGet, path+"*monban*", "", nil)
		var e *Error
		if errors.As(err, &e) && e.Status == http.StatusNotFound && (e.Type != "" || strings.Contains(e.Reason, "_templates")) {
			continue // there is none
		}
		if err != nil {
			return nil, fmt.Errorf("looking for templates: %w", err)
		}
		var list struct {
			Component []struct {
				Name     string   `json:"name"`
				Template template `json:"component_template"`
			} `json:"component_templates"`
			Index []struct {
				Name     string   `json:"name"`
				Template template `json:"index_template"`
			} `json:"index_templates"`
		}
		if err := json.Unmarshal(out, &list); err != nil {
			return nil, fmt.Errorf("looking for templates: %w", err)
		}
		for _, t := range list.Component {
			have[path+t.Name] = found{meta: t.Template.Meta}
		}
		for _, t := range list.Index {
			have[path+t.Name] = found{t.Template.Meta, t.Template.Template.Lifecycle.Retention}
		}
	}
	return have, nil
}

// Installed is what Install did.
type Installed struct {
	Changed []string // paths, and data streams that go on in a new index
	Kept    []string // what is not as asked for and is left alone, in sentences that say what to do
}

// Install puts there what is missing or older than ours, and leaves alone what a later version
// has put there, and a lifecycle that somebody changed. Where a template changed a data stream that is there
// already, the stream goes on in a new index, which has the new mapping.
func (c *Client) Install(ctx context.Context, s Server, mode Mode, retention time.Duration, namespace string) (did Installed, err error) {
	have, err := c.installed(ctx)
	if err != nil {
		return did, err
	}
	if c.renewed == nil {
		c.renewed, c.retained = map[string]bool{}, map[string]string{}
	}
	renewed := c.renewed // with those that an earlier call did not come to
	for _, r := range Resources(s, mode, retention) {
		if r.policy {
			if err := c.policy(ctx, s, r, &did); err != nil {
				return did, err
			}
			continue
		}
		old, there := have[r.Path]
		if there && old.Managed == "monban" && (old.Version > TemplateVersion || old.Version == TemplateVersion && old.Content == r.Content) {
			continue
		}
		if _, _, err := c.do(ctx, http.MethodPut, r.Path, "application/json", r.Body); err != nil {
			return did, fmt.Errorf("installing %s: %w", r.Path, err)
		}
		did.Changed = append(did.Changed, r.Path)
		if there && r.Stream != "" {
			name := r.Stream + "-" + namespace
			renewed[name] = true
			if strings.HasPrefix(r.Path, "/_index_template/") {
				c.retained[name] = old.retention
			}
		}
	}
	if err := c.streams(ctx, s, mode, namespace, renewed, &did.Changed); err != nil {
		return did, err
	}
	if s.Lifecycle == StreamLifecycle {
		err = c.retain(ctx, mode, retention, namespace, &did)
	}
	return did, err
}

// streams gives data streams whose template was renewed a new index, and makes those that are
// missing where a server can't be told to require them.
func (c *Client) streams(ctx context.Context, s Server, mode Mode, namespace string, renewed map[string]bool, changed *[]string) error {
	for _, stream := range Streams(mode, namespace) {
		name, made := stream.Name(), false
		if !s.since(8, 13) {
			_, _, err := c.do(ctx, http.MethodPut, "/_data_stream/"+name, "", nil)
			var e *Error
			there := errors.As(err, &e) && e.Type == "resource_already_exists_exception" || err != nil && strings.Contains(err.Error(), "already exists")
			if err != nil && !there {
				return fmt.Errorf("making the data stream %s: %w", name, err)
			}
			made = !there
		}
		if !made && renewed[name] {
			_, _, err := c.do(ctx, http.MethodPost, "/"+name+"/_rollover", "", nil)
			var e *Error
			if errors.As(err, &e) && e.Status == http.StatusNotFound {
				delete(renewed, name)
				continue // nothing was sent there yet
			}
			if err != nil {
				return fmt.Errorf("giving %s a new index: %w", name, err)
			}
			made = true
		}
		if made {
			delete(renewed, name)
			*changed = append(*changed, name)
		}
	}
	return nil
}

// Require tells what an administrator has still to install.
func (c *Client) Require(ctx context.Context, s Server, mode Mode) error {
	have, err := c.installed(ctx)
	if err != nil {
		return err
	}
	var missing []string
	for _, r := range Resources(s, mode, 0) {
		if r.policy {
			continue
		}
		if m, ok := have[r.Path]; !ok || m.Version < TemplateVersion {
			missing = append(missing, strings.TrimPrefix(r.Path, "/"))
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%d templates are missing or older than version %d, the first %s: have an administrator install what docs/elasticsearch has, or set template: install",
			len(missing), TemplateVersion, missing[0])
	}
	return nil
}
