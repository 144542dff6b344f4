// Package dashboard holds the dashboards of Monban: one table of panels, each with the question
// that it answers, and what is made of it: saved objects for Kibana and OpenSearch Dashboards,
// JSON for Grafana, the search that a test runs on a real server, and a reference page.
//
// A panel names fields by our attribute keys. They are looked up in the tables of events, so a key
// that is renamed there and not here fails the tests. It gives up what only one of the three
// programs can do: whatever a panel shows is a search with terms, a date histogram and simple
// metrics, or a list of documents.
package dashboard

//go:generate go run ./generate ../..
