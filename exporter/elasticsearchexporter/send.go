package elasticsearchexporter

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/monban/monban/internal/elastic"
	"github.com/monban/monban/internal/flatjson"
)

// Outcomes, as elasticsearch_documents counts them.
const (
	created = iota
	exists
	deadLetter
	lost
	later
)

var outcomes = [...]string{"created", "exists", "dead_letter", "lost", "later"}

func (b *batch) begin() {
	b.body, b.ends, b.streams, b.ids = b.body[:0], b.ends[:0], b.streams[:0], b.ids[:0]
	b.first, b.later, b.err, b.stopped, b.counts = 0, nil, nil, false, [5]int64{}
}

// added notes that a document was appended to the body, the n-th of the call, and sends what is
// there when that is enough.
func (e *elasticExporter) added(ctx context.Context, b *batch, n int) {
	b.ends, b.streams, b.ids = append(b.ends, len(b.body)), append(b.streams, b.enc.stream), append(b.ids, b.enc.id)
	if len(b.body) >= e.cfg.Bulk.MaxBytes {
		e.send(ctx, b, n)
	}
}

// send sends what the body holds, up to the n-th document of the call, and notes what is to be
// sent again.
func (e *elasticExporter) send(ctx context.Context, b *batch, n int) {
	switch {
	case len(b.ends) == 0:
	case b.stopped:
		b.again(0, len(b.ends))
	default:
		e.part(ctx, b, 0, len(b.ends))
	}
	b.body, b.ends, b.streams, b.ids, b.first = b.body[:0], b.ends[:0], b.streams[:0], b.ids[:0], n
}

// start is where document i begins in the body.
func (b *batch) start(i int) int {
	if i == 0 {
		return 0
	}
	return b.ends[i-1]
}

// again notes documents that are to be sent again.
func (b *batch) again(from, to int) {
	if b.later == nil {
		b.later = map[int]bool{}
	}
	for i := from; i < to; i++ {
		b.later[b.first+i] = true
	}
	b.counts[later] += int64(to - from)
}

// part sends some of the documents in the body. What is too large for the server goes in halves.
func (e *elasticExporter) part(ctx context.Context, b *batch, from, to int) {
	begun := time.Now()
	body := b.body[b.start(from):b.ends[to-1]]
	results, err := e.client.Bulk(ctx, e.bulkPath, body, to-from, b.results)
	e.request(ctx, len(body), err, time.Since(begun))
	var answer *elastic.Error
	switch {
	case errors.As(err, &answer) && answer.Status == http.StatusRequestEntityTooLarge && to-from > 1:
		middle := from + (to-from)/2
		e.part(ctx, b, from, middle)
		e.part(ctx, b, middle, to)
		return
	case errors.As(err, &answer) && answer.Status == http.StatusRequestEntityTooLarge:
		results = append(b.results[:0], elastic.Result{Verdict: elastic.Refused, Status: answer.Status, Type: "request_entity_too_large",
			Reason: fmt.Sprintf("the document has %d bytes, more than the server takes in one request", len(body))})
	case err != nil:
		b.err, b.stopped = err, true
		b.again(from, to)
		return
	}
	b.results = results
	b.letters.begin()
	for i, r := range results {
		i += from
		switch r.Verdict {
		case elastic.Created:
			b.counts[created]++
		case elastic.Exists:
			b.counts[exists]++
		case elastic.Later:
			b.err = &refusal{stream: b.streams[i], Result: r}
			b.again(i, i+1)
		case elastic.Refused:
			b.letters.add(e, b, i, r, mostOriginal)
		}
	}
	e.deliver(ctx, b)
}

// refusal is a verdict on one document that stands for those like it.
type refusal struct {
	stream string
	elastic.Result
}

func (r *refusal) Error() string {
	s := fmt.Sprintf("%s: %d %s: %s", r.stream, r.Status, r.Type, r.Reason)
	if h := elastic.Hint(r.Status, r.Type, r.Reason, nil); h != "" {
		s += " (" + h + ")"
	}
	return s
}

// missing reports whether an error says that a template or a stream is not there.
func missing(err error) bool {
	var r *refusal
	return errors.As(err, &r) && r.Status == http.StatusNotFound
}

// letters are the dead letters of one request.
type letters struct {
	body []byte
	docs []letter
}

type letter struct {
	number int // of the document in the body
	result elastic.Result
}

// How much of a document its dead letter keeps, and how much when that is too large for the server.
const (
	mostOriginal  = 1 << 20
	leastOriginal = 1 << 8
)

func (l *letters) begin() { l.body, l.docs = l.body[:0], l.docs[:0] }

// add writes the dead letter of document i of the batch.
func (l *letters) add(e *elasticExporter, b *batch, i int, r elastic.Result, most int) {
	line := b.body[b.start(i) : b.ends[i]-1]
	original := string(line[strings.IndexByte(string(line[:min(len(line), 2048)]), '\n')+1:])
	if len(original) > most {
		original = original[:most] + "…"
	}
	stream := elastic.StreamOf("logs", elastic.DeadLetter, e.mode, e.cfg.Namespace)
	out := elastic.AppendAction(l.body, stream.Name(), b.ids[i])
	out = b.enc.clock.AppendTime(append(out, `{"@timestamp":`...), time.Now().UnixNano())
	member := func(before, value, after string) {
		out = append(flatjson.AppendString(append(out, before...), value), after...)
	}
	member(`,"data_stream":{"type":"logs","dataset":"`+elastic.DeadLetter+`","namespace":`, e.cfg.Namespace, "}")
	member(`,"ecs":{"version":`, elastic.ECSVersion, "}")
	member(`,"event":{"kind":"pipeline_error","dataset":"`+elastic.DeadLetter+`","id":`, b.ids[i], "")
	member(`,"original":`, original, "}")
	member(`,"error":{"type":`, r.Type, "")
	member(`,"message":`, r.Reason, "")
	member(`,"code":`, strconv.Itoa(r.Status), "}")
	member(`,"`+elastic.Own+`":{"deadletter":{"stream":`, b.streams[i], "}}}\n")
	l.body, l.docs = out, append(l.docs, letter{i, r})
}

// deliver sends the dead letters. One that can't be sent now leaves its document to be sent again.
func (e *elasticExporter) deliver(ctx context.Context, b *batch) {
	l := &b.letters
	if len(l.docs) == 0 {
		return
	}
	begun := time.Now()
	results, err := e.client.Bulk(ctx, e.bulkPath, l.body, len(l.docs), nil)
	e.request(ctx, len(l.body), err, time.Since(begun))
	var answer *elastic.Error
	if errors.As(err, &answer) && answer.Status == http.StatusRequestEntityTooLarge {
		docs := append([]letter(nil), l.docs...)
		l.begin()
		for _, doc := range docs {
			l.add(e, b, doc.number, doc.result, leastOriginal)
		}
		begun = time.Now()
		results, err = e.client.Bulk(ctx, e.bulkPath, l.body, len(l.docs), nil)
		e.request(ctx, len(l.body), err, time.Since(begun))
	}
	for n, doc := range l.docs {
		verdict := elastic.Later
		if err == nil {
			verdict = results[n].Verdict
		}
		stream, r := b.streams[doc.number], doc.result
		switch verdict {
		case elastic.Created, elastic.Exists:
			b.counts[deadLetter]++
			e.tb.ElasticsearchRefused.Add(ctx, 1, metric.WithAttributeSet(attribute.NewSet(attribute.String("stream", stream), attribute.String("reason", r.Type))))
			e.once("A document was refused and went to the dead letters", stream, r)
		case elastic.Later:
			b.err = err
			if err == nil {
				b.err = &refusal{stream: elastic.DeadLetter, Result: results[n]}
			}
			b.again(doc.number, doc.number+1)
		case elastic.Refused:
			b.counts[lost]++
			e.once("A document was refused, and its dead letter too; it is lost", stream, results[n])
		}
	}
}

// once logs a refusal, once a minute for each stream and kind.
func (e *elasticExporter) once(what, stream string, r elastic.Result) {
	if e.faults.Due(what + stream + r.Type) {
		e.logger.Error(what, zap.String("stream", stream), zap.Int("status", r.Status), zap.String("type", r.Type), zap.String("reason", r.Reason))
	}
}

// request counts a request and its answer.
func (e *elasticExporter) request(ctx context.Context, size int, err error, took time.Duration) {
	status := http.StatusOK
	if err != nil {
		status = 0
		var answer *elastic.Error
		if errors.As(err, &answer) {
			status = answer.Status
		}
	}
	e.tb.ElasticsearchRequests.Add(ctx, 1, metric.WithAttributeSet(attribute.NewSet(attribute.Int("status", status))))
	e.tb.ElasticsearchRequestBytes.Add(ctx, int64(size))
	e.tb.ElasticsearchRequestDuration.Record(ctx, took.Seconds())
}

// count counts what became of the documents of a call.
func (e *elasticExporter) count(ctx context.Context, b *batch) {
	for i, n := range b.counts {
		if n > 0 {
			e.tb.ElasticsearchDocuments.Add(ctx, n, metric.WithAttributeSet(attribute.NewSet(attribute.String("outcome", outcomes[i]))))
		}
	}
}
