// Package exactness holds our meter against those of others, on their own captures:
// Zeek's connection logs and nDPI's flow lists. Each conversation that differs is put
// into a named kind, and the tests hold the number of each.
package exactness
