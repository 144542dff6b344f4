package durable

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
)

// nameMost keeps names below the 255 bytes that file systems allow, with room for what is
// appended when a file is set aside.
const nameMost = 180

// EscapeName makes a file name of any string, and different names of different strings. Letters,
// digits, '.', '_' and '-' stay, so that people find what they look for; all others, and a
// leading '.', become %XX. What is too long ends in '~' and a hash instead.
func EscapeName(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-', c == '.' && i > 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	if b.Len() == 0 {
		return "%"
	}
	if b.Len() <= nameMost {
		return b.String()
	}
	sum := sha256.Sum256([]byte(s))
	hash := hex.EncodeToString(sum[:])
	return b.String()[:nameMost-len(hash)-1] + "~" + hash
}

func fileName(key string) string { return EscapeName(key) + suffix }
