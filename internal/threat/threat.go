// Package threat turns unusual things into incidents that explain themselves.
package threat
