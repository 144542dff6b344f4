// Package dashboards holds that each panel of the dashboards finds something: it runs their queries
// on real servers, filled by the real binary with the demo capture.
package dashboards
