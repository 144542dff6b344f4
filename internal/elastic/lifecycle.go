package elastic

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// policyName is that of the lifecycle policy, of all data streams.
const policyName = "monban"

// ilm is the lifecycle policy as Elasticsearch has it.
func ilm(retention time.Duration) Resource {
	phases := object{"hot": object{"min_age": "0ms", "actions": object{
		"rollover": object{"max_age": "7d", "max_primary_shard_size": "20gb"}, "set_priority": object{"priority": 100}}}}
	if retention > 0 {
		phases["delete"] = object{"min_age": duration(retention), "actions": object{"delete": object{}}}
	}
	content := contentOf(phases)
	return Resource{Path: "/_ilm/policy/" + policyName, policy: true, Content: content, Body: encode(object{"policy": object{
		"phases": phases, "_meta": object{"managed_by": "monban", "version": TemplateVersion, "content": content}}})}
}

// ism is the policy as OpenSearch has it. There it has no _meta, so its description says what it is.
func ism(retention time.Duration) Resource {
	hot := object{"name": "hot", "actions": []any{object{"rollover": object{"min_index_age": "7d", "min_primary_shard_size": "20gb"}}}, "transitions": []any{}}
	states := []any{hot}
	if retention > 0 {
		hot["transitions"] = []any{object{"state_name": "delete", "conditions": object{"min_rollover_age": duration(retention)}}}
		states = append(states, object{"name": "delete", "actions": []any{object{"delete": object{}}}, "transitions": []any{}})
	}
	body := object{
		"default_state": "hot", "states": states,
		"ism_template": []any{object{"index_patterns": []string{"logs-monban.*", "metrics-monban.*"}, "priority": priority}},
	}
	content := contentOf(body)
	body["description"] = fmt.Sprintf("Monban: a new index each week or 20 GB, and an end (version %d, content %s)", TemplateVersion, content)
	return Resource{Path: "/_plugins/_ism/policies/" + policyName, policy: true, Content: content, Body: encode(object{"policy": body})}
}

// duration is a time as both servers write it, in hours or days.
func duration(d time.Duration) string {
	if d%(24*time.Hour) == 0 {
		return strconv.Itoa(int(d/(24*time.Hour))) + "d"
	}
	return strconv.Itoa(int(max(d, time.Hour)/time.Hour)) + "h"
}

// contentOf is a mark of what a policy does, the same whether it is ours or comes back from a server, which
// adds what was left out and when it was written.
func contentOf(v any) string {
	var plain any
	if err := json.Unmarshal(encode(v), &plain); err != nil {
		panic(err) // it was made a moment ago
	}
	sum := sha256.Sum256(encode(bare(plain)))
	return hex.EncodeToString(sum[:6])
}

func bare(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, w := range v {
			switch {
			case k == "retry", k == "last_updated_time", k == "copy_alias" && w == false, k == "delete_searchable_snapshot" && w == true:
				delete(v, k)
			default:
				v[k] = bare(w)
			}
		}
	case []any:
		for i := range v {
			v[i] = bare(v[i])
		}
	}
	return v
}

// policy is what is known of the policy on a server.
type policy struct {
	meta
	now          string // mark of what it does
	seq, primary int64  // of OpenSearch, for a change of just this one
}

var described = regexp.MustCompile(`^Monban: .*\(version (\d+), content ([0-9a-f]+)\)$`)

func readPolicy(answer []byte) (p policy, err error) {
	if err := json.Unmarshal(answer, new(map[string]any)); err != nil {
		return p, fmt.Errorf("reading the lifecycle policy: %w", err)
	}
	var ism struct {
		Seq     *int64 `json:"_seq_no"`
		Primary int64  `json:"_primary_term"`
		Policy  struct {
			Description string `json:"description"`
			Default     any    `json:"default_state"`
			States      any    `json:"states"`
			Template    any    `json:"ism_template"`
		} `json:"policy"`
	}
	if json.Unmarshal(answer, &ism) == nil && ism.Seq != nil {
		if m := described.FindStringSubmatch(ism.Policy.Description); m != nil {
			p.Managed, p.Content = "monban", m[2]
			p.Version, _ = strconv.Atoi(m[1])
		}
		p.now = contentOf(object{"default_state": ism.Policy.Default, "states": ism.Policy.States, "ism_template": ism.Policy.Template})
		p.seq, p.primary = *ism.Seq, ism.Primary
		return p, nil
	}
	var ilm map[string]struct {
		Policy struct {
			Phases any  `json:"phases"`
			Meta   meta `json:"_meta"`
		} `json:"policy"`
	}
	if err := json.Unmarshal(answer, &ilm); err != nil {
		return p, fmt.Errorf("reading the lifecycle policy: %w", err)
	}
	p.meta, p.now = ilm[policyName].Policy.Meta, contentOf(ilm[policyName].Policy.Phases)
	return p, nil
}

// policy installs the lifecycle policy, or renews it where it is as we left it. One that somebody changed
// is theirs, and told of where it does not do what ours would.
func (c *Client) policy(ctx context.Context, s Server, r Resource, did *Installed) error {
	answer, _, err := c.do(ctx, http.MethodGet, r.Path, "", nil)
	var e *Error
	there := err == nil
	if !there && (!errors.As(err, &e) || e.Status != http.StatusNotFound) {
		return err
	}
	path := r.Path
	if there {
		have, err := readPolicy(answer)
		switch {
		case err != nil:
			return err
		case have.now == r.Content || have.Managed == "monban" && have.Version > TemplateVersion:
			return nil
		case have.Managed != "monban" || have.Content != have.now:
			did.Kept = append(did.Kept, "The lifecycle policy "+r.Path+" is not what `retention` asks for, and is left alone, as it is not as Monban left it: "+
				"set `retention` to what it says if that is what you want, or put the policy of docs/elasticsearch there, which Monban then keeps up to date")
			return nil
		}
		if s.OpenSearch {
			path += fmt.Sprintf("?if_seq_no=%d&if_primary_term=%d", have.seq, have.primary)
		}
	}
	if _, _, err := c.do(ctx, http.MethodPut, path, "application/json", r.Body); err != nil {
		return fmt.Errorf("installing %s: %w", r.Path, err)
	}
	did.Changed = append(did.Changed, r.Path)
	if there && s.OpenSearch {
		c.adopt(ctx, did)
	}
	return nil
}

// adopt has the indices that are there follow the renewed policy. OpenSearch leaves them at the one with
// which they began.
func (c *Client) adopt(ctx context.Context, did *Installed) {
	const indices = "logs-monban.*,metrics-monban.*"
	answer, _, err := c.do(ctx, http.MethodPost, "/_plugins/_ism/change_policy/"+indices, "application/json", encode(object{"policy_id": policyName}))
	var outcome struct {
		Failures bool `json:"failures"`
	}
	if err == nil {
		err = json.Unmarshal(answer, &outcome)
	}
	if err == nil && !outcome.Failures {
		return
	}
	why := "some indices do not take it"
	if err != nil {
		why = err.Error()
	}
	did.Kept = append(did.Kept, "The lifecycle policy was renewed, but indices that are there already go on with the one before ("+why+
		"): POST /_plugins/_ism/change_policy/"+indices+" with {\"policy_id\": \""+policyName+"\"}")
}

// retain gives data streams that are there already the retention of their renewed template, which by itself
// is for new ones alone. One that somebody gave another is left alone and told of.
func (c *Client) retain(ctx context.Context, mode Mode, retention time.Duration, namespace string, did *Installed) error {
	answer, _, err := c.do(ctx, http.MethodGet, "/_data_stream/logs-monban.*-"+namespace+",metrics-monban.*-"+namespace+"/_lifecycle", "", nil)
	var e *Error
	if errors.As(err, &e) && (e.Status == http.StatusNotFound || e.Status == http.StatusBadRequest || e.Status == http.StatusMethodNotAllowed) {
		return nil // there are none, or the server's package lacks it
	}
	if err != nil {
		return fmt.Errorf("asking how long data streams are kept: %w", err)
	}
	var list struct {
		Streams []struct {
			Name      string `json:"name"`
			Lifecycle struct {
				Retention string `json:"data_retention"`
			} `json:"lifecycle"`
		} `json:"data_streams"`
	}
	if err := json.Unmarshal(answer, &list); err != nil {
		return fmt.Errorf("asking how long data streams are kept: %w", err)
	}
	ours := map[string]bool{}
	for _, s := range Streams(mode, namespace) {
		ours[s.Name()] = true
	}
	body, want := object{}, ""
	if retention > 0 {
		want = duration(retention)
		body["data_retention"] = want
	}
	var kept []string
	for _, s := range list.Streams {
		was, renewed := c.retained[s.Name]
		switch {
		case !ours[s.Name] || s.Lifecycle.Retention == want:
		case !renewed || s.Lifecycle.Retention != was:
			kept = append(kept, s.Name)
		default:
			path := "/_data_stream/" + s.Name + "/_lifecycle"
			if _, _, err := c.do(ctx, http.MethodPut, path, "application/json", encode(body)); err != nil {
				return fmt.Errorf("changing how long %s is kept: %w", s.Name, err)
			}
			did.Changed = append(did.Changed, path)
		}
		delete(c.retained, s.Name)
	}
	if len(kept) > 0 {
		did.Kept = append(did.Kept, "The retention of "+strings.Join(kept, ", ")+" is not what `retention` asks for, and is left alone, as it is not as Monban left it: "+
			"set `retention` to what it says if that is what you want, or PUT /_data_stream/NAME/_lifecycle with "+string(encode(body)))
	}
	return nil
}
