// Package device decides who is who.
package device
