//go:build linux

package outlets

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/monban/monban/testbed"
	"github.com/monban/monban/testbed/servers"
)

// TestExpiredCertificate has certificates that are no longer valid on either side of the connection to
// a broker that asks for one: the log says whose, what was accepted waits, and arrives once the
// certificate is renewed.
func TestExpiredCertificate(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a broker")
	}
	ca, valid, over := testbed.NewAuthority(t), time.Now().Add(time.Hour), time.Now().Add(-time.Minute)
	store := ca.File("broker-store.pem")
	issue := func(until time.Time) { // what the broker reads at its start
		t.Helper()
		pair := ca.Sign(t, "broker", until)
		var all []byte
		for _, file := range []string{pair.Key, pair.Cert} {
			b, err := os.ReadFile(file)
			must(t, err)
			all = append(all, b...)
		}
		must(t, os.WriteFile(store, all, 0o600))
	}
	issue(over)
	k := servers.StartKafka(t, servers.KafkaOptions{TLS: map[string]string{
		"ssl.client.auth": "required", "ssl.keystore.type": "PEM", "ssl.keystore.location": store,
		"ssl.truststore.type": "PEM", "ssl.truststore.location": ca.File("ca.pem"),
	}})
	client := ca.Sign(t, "monban", valid)
	var tls []string
	for _, e := range []string{"flows", "events", "reports"} {
		tls = append(tls, "kafka_events/"+e+": {brokers: ["+k.Secure[0]+"], tls: {ca_file: "+ca.File("ca.pem")+", cert_file: "+client.Cert+", key_file: "+client.Key+", reload_interval: 1s}}")
	}
	m := shipped(t, k, "expired", "yaml:{exporters: {"+strings.Join(tls, ", ")+"}}")
	f := newFeed(m)
	send := func() {
		for range 20 {
			f.once()
		}
	}

	send()
	waitForLog(t, m, "the broker's certificate has expired on ")
	if o := read(t, k, "expired"); o > 0 {
		t.Errorf("%d records arrived by way of a certificate that has expired", o)
	}
	issue(valid)
	must(t, k.Brokers[0].Kill())
	must(t, k.Brokers[0].Start(t.Context()))
	exact(t, compare(t, k, time.Minute, topicsOf("expired"), f))

	// Of ours the broker takes notice with the next connection.
	ca.Sign(t, "monban", over)
	time.Sleep(3 * time.Second) // until it is read again
	must(t, k.Brokers[0].Kill())
	send()
	must(t, k.Brokers[0].Start(t.Context()))
	waitForLog(t, m, "our own certificate has expired on ")
	send()
	ca.Sign(t, "monban", valid)
	exact(t, compare(t, k, time.Minute, topicsOf("expired"), f))
}

// read counts the records that are there.
func read(t *testing.T, k *servers.Kafka, topics string) int {
	t.Helper()
	records, err := k.Read(t.Context(), topicsOf(topics)...)
	if err != nil {
		return 0 // no topic yet
	}
	return len(records)
}
