// Package exactness holds our meter against those of others: Zeek's connection logs and
// nDPI's flow lists on their own captures, tshark's conversations on all. Each conversation that differs is put
// into a named kind, and the tests hold the number of each.
package exactness
