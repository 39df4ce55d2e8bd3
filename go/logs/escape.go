package logs

import (
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// appendPrintable appends s with every rune that does not print as an escape.
func appendPrintable(b []byte, s string) []byte {
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if strconv.IsPrint(r) && (r != utf8.RuneError || size > 1) {
			b = append(b, s[:size]...)
		} else {
			q := strconv.Quote(s[:size])
			b = append(b, q[1:len(q)-1]...)
		}
		s = s[size:]
	}
	return b
}

// appendWord appends s so that it reads as one word: quoted when it is empty,
// has a space, quote or equals sign, or anything that does not print.
func appendWord(b []byte, s string) []byte {
	if s != "" && !strings.ContainsFunc(s, breaksWord) && utf8.ValidString(s) {
		return append(b, s...)
	}
	return strconv.AppendQuote(b, s)
}

func breaksWord(r rune) bool { return r == ' ' || r == '"' || r == '=' || !strconv.IsPrint(r) }

// printable escapes what slog's own handlers let through: they quote for their
// format, not for a terminal (DEL, C1 controls, bidirectional overrides). It
// relies on getting whole lines, and writes \uXXXX, which both formats read.
type printable struct{ w io.Writer }

// Write implements [io.Writer] for one line.
func (p printable) Write(line []byte) (int, error) {
	body := line
	if n := len(body); n > 0 && body[n-1] == '\n' {
		body = body[:n-1]
	}
	if clean(body) {
		return p.w.Write(line)
	}
	b := appendUnicode(make([]byte, 0, len(line)+64), body)
	b = append(b, line[len(body):]...)
	if _, err := p.w.Write(b); err != nil {
		return 0, err
	}
	return len(line), nil
}

// clean reports whether b is printable ASCII.
func clean(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// appendUnicode appends s with every rune that does not print as \uXXXX, beyond
// the basic plane as a surrogate pair.
func appendUnicode(b, s []byte) []byte {
	for len(s) > 0 {
		r, size := utf8.DecodeRune(s)
		switch {
		case strconv.IsPrint(r):
			b = utf8.AppendRune(b, r)
		case r > 0xffff:
			hi, lo := surrogates(r)
			b = appendHex(appendHex(b, hi), lo)
		default:
			b = appendHex(b, r)
		}
		s = s[size:]
	}
	return b
}

func surrogates(r rune) (hi, lo rune) {
	r -= 0x10000
	return 0xd800 + r>>10, 0xdc00 + r&0x3ff
}

func appendHex(b []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	return append(b, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}
