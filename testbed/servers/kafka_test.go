//go:build linux

package servers

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
)

// TestOneBroker writes, kills and starts the broker, pauses it, and finds what it wrote.
func TestOneBroker(t *testing.T) {
	k := StartKafka(t, KafkaOptions{Users: map[string]string{"monban": "gate"}})
	ctx := t.Context()
	if err := k.CreateTopic(ctx, "t", 2); err != nil {
		t.Fatal(err)
	}
	mine := kgo.SASL(plain.Auth{User: "monban", Pass: "gate"}.AsMechanism())
	cl, err := kgo.NewClient(kgo.SeedBrokers(k.Addrs...), mine, kgo.DefaultProduceTopic("t"))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for i := range 10 {
		if err := cl.ProduceSync(ctx, kgo.StringRecord(fmt.Sprint(i))).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.Brokers[0].Restart(ctx); err != nil {
		t.Fatal(err)
	}
	got, err := k.Read(ctx, "t")
	if err != nil || len(got) != 10 {
		t.Fatalf("%d records after a kill, %v", len(got), err)
	}
	if err := k.Brokers[0].Pause(); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := k.answers(short, k.Addrs[0]); err == nil {
		t.Error("a paused broker answers")
	}
	if err := k.Brokers[0].Resume(); err != nil {
		t.Fatal(err)
	}
	if err := k.Brokers[0].Kill(); err != nil {
		t.Fatal(err)
	}
	wrong := kgo.SASL(plain.Auth{User: "monban", Pass: "other"}.AsMechanism())
	if err := k.Brokers[0].Start(ctx); err != nil {
		t.Fatal(err)
	}
	stranger, err := kgo.NewClient(kgo.SeedBrokers(k.Addrs...), wrong)
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	if err := stranger.Ping(ctx); err == nil {
		t.Error("a wrong password was taken")
	}
}

// TestThreeBrokers loses one of three.
func TestThreeBrokers(t *testing.T) {
	if testing.Short() {
		t.Skip("three brokers take a while")
	}
	k := StartKafka(t, KafkaOptions{Brokers: 3, Heap: "256m"})
	ctx := t.Context()
	if err := k.CreateTopic(ctx, "t", 3); err != nil {
		t.Fatal(err)
	}
	if err := k.Brokers[1].Kill(); err != nil {
		t.Fatal(err)
	}
	cl, err := k.Client(kgo.DefaultProduceTopic("t"), kgo.RequiredAcks(kgo.AllISRAcks()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for i := range 10 {
		if err := cl.ProduceSync(ctx, kgo.KeyStringRecord(fmt.Sprint(i), "x")).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	got, err := k.Read(ctx, "t")
	if err != nil || len(got) != 10 {
		t.Fatalf("%d records, %v", len(got), err)
	}
}

// TestFetch fetches once, however many want it, and refuses what is not right.
func TestFetch(t *testing.T) {
	t.Setenv("MONBAN_SERVERS", t.TempDir())
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked++
		_, _ = w.Write([]byte("hello"))
	}))
	defer server.Close()
	old := central
	central = server.URL + "/"
	defer func() { central = old }()
	good := Artifact{"a/b.jar", "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			files, err := Fetch(t.Context(), good)
			if err != nil {
				t.Error(err)
			} else if b, _ := os.ReadFile(files[0]); string(b) != "hello" {
				t.Errorf("%s holds %q", files[0], b)
			}
		})
	}
	wg.Wait()
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	_, err := Fetch(t.Context(), Artifact{"a/c.jar", strings.Repeat("0", 64)})
	if err == nil {
		t.Error("another content was taken")
	}
	if _, err := os.Stat(filepath.Join(Store(), "maven", "a", "c.jar")); err == nil {
		t.Error("a refused file stayed")
	}
}
