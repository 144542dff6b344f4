//go:generate go tool -modfile=../../internal/tools/go.mod mdatagen metadata.yaml

// Package probeauthextension lets receivers take data only of probes that a registry file knows, by the certificate
// that they show in TLS, a bearer token, or both, or marks what others send so that it can be kept apart.
//
// It promises that each request is judged anew, so that a probe which was taken from the registry is out within seconds,
// its open connections too; that a registry which can't be read changes nothing; and that tokens are in no log. It gives up
// telling senders why they are refused: that is for the log and the counters.
package probeauthextension
