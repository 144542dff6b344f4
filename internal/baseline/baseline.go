// Package baseline learns what each device usually does and says what is not.
package baseline
