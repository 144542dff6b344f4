// Package privilege gives up what a process may do once it no longer needs it: a meter
// reads what strangers send, so whoever takes it over should get as little as can be.
//
// It promises that all threads are treated alike, and that nothing started later gets
// back what was given up. It gives up the way back.
package privilege
