// Package recordpath measures what a record costs on its whole way through the distribution's
// components, from the flow's entry to the line that is written. It holds nothing but its benchmark.
package recordpath
