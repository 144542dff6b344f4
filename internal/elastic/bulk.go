package elastic

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
)

// Verdict is what became of one document.
type Verdict uint8

// Verdicts.
const (
	Created Verdict = iota // it is there
	Exists                 // it was there already, sent by an earlier attempt
	Later                  // not now, but the same may be taken later
	Refused                // never: the document itself is at fault
)

// Result is the verdict on one document, with the reason when it is not there.
type Result struct {
	Verdict Verdict
	Status  int
	Type    string
	Reason  string
}

// BulkPath is where bulk requests go. A data stream is required where the server can be told so:
// else a missing template would make an ordinary index with guessed mappings, which is in the way
// of the data stream for ever after.
func BulkPath(s Server) string {
	const path = "/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by"
	if s.since(8, 13) {
		return path + "&require_data_stream=true"
	}
	return path
}

// AppendAction appends the line that stands before a document in a bulk request.
func AppendAction(b []byte, stream, id string) []byte {
	b = append(b, `{"create":{"_index":"`...)
	b = append(b, stream...) // of letters, digits, dots and hyphens
	b = append(b, `","_id":"`...)
	b = append(b, id...)
	return append(b, "\"}}\n"...)
}

// Bulk sends a bulk request of n documents and gives the verdict on each, in results if that is
// large enough. An error means that there is no verdict: all may be sent again.
func (c *Client) Bulk(ctx context.Context, path string, body []byte, n int, results []Result) ([]Result, error) {
	out, _, err := c.do(ctx, http.MethodPost, path, "application/x-ndjson", body)
	if err != nil {
		return nil, err
	}
	results, err = ReadResults(out, n, results)
	if err != nil {
		return nil, &Error{Node: "the answer to a bulk request", err: err}
	}
	return results, nil
}

// ReadResults reads the answer to a bulk request of n documents.
func ReadResults(answer []byte, n int, results []Result) ([]Result, error) {
	// The usual answer is that all is well. It need not be taken apart, which costs as much as half of
	// the encoding.
	if bytes.HasPrefix(answer, []byte(`{"errors":false,`)) && bytes.Count(answer, []byte(`{"status":20`)) == n {
		results = results[:0]
		for range n {
			results = append(results, Result{Verdict: Created, Status: http.StatusCreated})
		}
		return results, nil
	}
	var a struct {
		Items []map[string]struct {
			Status int    `json:"status"`
			Error  *fault `json:"error"`
		} `json:"items"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		return nil, fmt.Errorf("it is not that of Elasticsearch or OpenSearch: %w", err)
	}
	if len(a.Items) != n {
		return nil, fmt.Errorf("it is about %d documents, and %d were sent", len(a.Items), n)
	}
	results = results[:0]
	for _, item := range a.Items {
		r := Result{Verdict: Later}
		for _, x := range item { // one: create
			r.Status = x.Status
			if x.Error != nil {
				r.Type, r.Reason = cut(x.Error.Type), x.Error.words()
			}
		}
		r.Verdict = judge(r)
		results = append(results, r)
	}
	return results, nil
}

// cluster are marks of reasons that say nothing about the document, though the status is 400.
var cluster = []string{"index_closed_exception", "cluster_block_exception", "shards open", "can't exceed", "invalid_index_name", "validation_exception", "circuit_breaking"}

// noPipeline reports whether a reason says that an ingest pipeline is missing, which the index names or
// another pipeline calls: no fault of the document, though the status is 400.
func noPipeline(reason string) bool {
	return strings.HasPrefix(reason, "pipeline with id [") && strings.Contains(reason, "] does not exist") ||
		strings.HasPrefix(reason, "Pipeline processor configured for non-existent pipeline [")
}

func judge(r Result) Verdict {
	switch {
	case r.Status == http.StatusOK, r.Status == http.StatusCreated:
		return Created
	case r.Status == http.StatusConflict:
		return Exists
	case r.Status == http.StatusBadRequest, r.Status == http.StatusRequestEntityTooLarge, r.Status == http.StatusUnprocessableEntity:
		if strings.HasSuffix(r.Type, "_parsing_exception") || strings.HasSuffix(r.Type, "_parse_exception") {
			return Refused // its reason quotes the document, which may hold any of the marks
		}
		if noPipeline(r.Reason) {
			return Later
		}
		for _, mark := range cluster {
			if strings.Contains(r.Type, mark) || strings.Contains(r.Reason, mark) {
				return Later
			}
		}
		return Refused
	}
	return Later // busy, ill, blocked, forbidden, without a template: none of it the document's fault
}
