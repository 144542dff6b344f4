// Package app reads what packets say beyond their headers: who a device says it
// is (ARP, DHCP, mDNS, DNS), what it asks for, and which OT commands it sends. It
// promises bounded memory and a bounded rate of sightings, and never to panic on
// a payload; it gives up streams: each segment is read by itself.
package app
