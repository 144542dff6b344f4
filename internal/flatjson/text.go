package flatjson

import (
	"encoding/base64"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// MaxDepth bounds how deep nested values are followed; what is deeper becomes null.
const MaxDepth = 32

// AppendValue appends v, which lies depth values deep in its record.
func AppendValue(b []byte, v pcommon.Value, depth int) []byte {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		return AppendString(b, v.Str())
	case pcommon.ValueTypeInt:
		return AppendInt(b, v.Int())
	case pcommon.ValueTypeDouble:
		return AppendFloat(b, v.Double())
	case pcommon.ValueTypeBool:
		return strconv.AppendBool(b, v.Bool())
	case pcommon.ValueTypeBytes:
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, v.Bytes().AsRaw())
		return append(b, '"')
	case pcommon.ValueTypeSlice:
		if depth == MaxDepth {
			break
		}
		b = append(b, '[')
		for i, x := range v.Slice().All() {
			if i > 0 {
				b = append(b, ',')
			}
			b = AppendValue(b, x, depth+1)
		}
		return append(b, ']')
	case pcommon.ValueTypeMap:
		if depth == MaxDepth {
			break
		}
		b = append(b, '{')
		first := true
		for k, x := range v.Map().All() {
			if !first {
				b = append(b, ',')
			}
			first = false
			b = AppendString(b, k)
			b = append(b, ':')
			b = AppendValue(b, x, depth+1)
		}
		return append(b, '}')
	}
	return append(b, "null"...)
}

// AppendInt appends n. Ports, packets and bytes are mostly short, and strconv is made for all.
func AppendInt(b []byte, n int64) []byte {
	if n < 0 || n >= 1e8 {
		return strconv.AppendInt(b, n, 10)
	}
	var c [8]byte
	u, i := uint32(n), len(c)
	for u >= 100 {
		i -= 2
		copy(c[i:], pairs[u%100*2:][:2])
		u /= 100
	}
	if u >= 10 {
		i -= 2
		copy(c[i:], pairs[u*2:][:2])
	} else {
		i--
		c[i] = '0' + byte(u)
	}
	return append(b, c[i:]...)
}

// pairs are the numbers to 99, two digits each.
var pairs = func() (t [200]byte) {
	for i := range 100 {
		t[2*i], t[2*i+1] = '0'+byte(i/10), '0'+byte(i%10)
	}
	return t
}()

// AppendFloat writes what JSON has no number for as null.
func AppendFloat(b []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(b, "null"...)
	}
	format := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(b, f, format, -1, 64)
}

// plain are the bytes that stand for themselves in a JSON string.
var plain = func() (t [256]bool) {
	for c := 0x20; c < 0x7f; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// plainPrefix is how many bytes of s stand for themselves, found eight at a time.
func plainPrefix(s string) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(s); i += 8 {
		x := uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
			uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
		quote, slash, del := x^ones*'"', x^ones*'\\', x^ones*0x7f
		if (x|(x-ones*0x20)|(quote-ones)|(slash-ones)|(del-ones))&tops != 0 {
			break // one of them is special, or nearly: the loop below knows
		}
	}
	for i < len(s) && plain[s[i]] {
		i++
	}
	return i
}

const digits = "0123456789abcdef"

// AppendString appends s in quotes. Invalid UTF-8 becomes U+FFFD; control
// characters, C1 and DEL too, are escaped, so that a name from the wire can't
// speak to the terminal on which someone looks at the file.
func AppendString(b []byte, s string) []byte {
	b = append(b, '"')
	i := plainPrefix(s)
	b = append(b, s[:i]...)
	for i < len(s) {
		c := s[i]
		if plain[c] {
			b = append(b, c)
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\t':
			b = append(b, '\\', 't')
		case c == '\r':
			b = append(b, '\\', 'r')
		case r < 0x20 || r >= 0x7f && r < 0xa0:
			b = append(b, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
		default:
			b = utf8.AppendRune(b, r) // U+FFFD for what is not UTF-8
		}
		i += n
	}
	return append(b, '"')
}

const (
	nanosADay    = 86400 * 1e9
	nanosASecond = int64(1e9)
)

// Clock writes points in time, of which one is mostly near the last. Make one by [NewClock]; it is
// not safe for concurrent use.
type Clock struct {
	day    int64    // of date, in days since the epoch
	date   [11]byte // "2006-01-02T"
	second int64    // of clock, in the day
	clock  [9]byte  // "15:04:05."
}

// NewClock makes a clock.
func NewClock() Clock {
	return Clock{day: math.MinInt64, second: -1, clock: [9]byte{2: ':', 5: ':', 8: '.'}}
}

// AppendTime appends Unix nanoseconds as RFC 3339 in UTC, always with nine
// digits, so that the strings sort as the times do.
func (c *Clock) AppendTime(b []byte, ns int64) []byte {
	day := ns / nanosADay
	ns -= day * nanosADay
	if ns < 0 {
		day, ns = day-1, ns+nanosADay
	}
	if day != c.day {
		c.day = day
		y, m, d := time.Unix(day*86400, 0).UTC().Date()
		c.date = [11]byte{
			'0' + byte(y/1000), '0' + byte(y/100%10), '0' + byte(y/10%10), '0' + byte(y%10), '-',
			'0' + byte(m/10), '0' + byte(m%10), '-', '0' + byte(d/10), '0' + byte(d%10), 'T',
		}
	}
	if second := ns / nanosASecond; second != c.second {
		c.second = second
		h, m, s := second/3600, second/60%60, second%60
		copy(c.clock[0:], pairs[h*2:][:2])
		copy(c.clock[3:], pairs[m*2:][:2])
		copy(c.clock[6:], pairs[s*2:][:2])
	}
	frac := uint32(ns % nanosASecond)
	var t [32]byte // "2006-01-02T15:04:05.000000000Z" with its quotes is 32
	t[0] = '"'
	copy(t[1:], c.date[:])
	copy(t[12:], c.clock[:])
	t[21] = '0' + byte(frac/1e8)
	frac %= 1e8
	high, low := frac/1e4, frac%1e4
	copy(t[22:], pairs[high/100*2:][:2])
	copy(t[24:], pairs[high%100*2:][:2])
	copy(t[26:], pairs[low/100*2:][:2])
	copy(t[28:], pairs[low%100*2:][:2])
	t[30], t[31] = 'Z', '"'
	return append(b, t[:32]...)
}
