package record

import (
	"fmt"
	"time"
	"unicode/utf8"
)

// appendEvent appends the line of an event.
func appendEvent(b []byte, at time.Duration, code string, text []byte) []byte {
	us := at.Microseconds()
	b = fmt.Appendf(b, "[%d.%06d, ", us/1e6, us%1e6)
	b = appendString(b, []byte(code))
	b = append(b, ", "...)
	b = appendString(b, text)
	return append(b, "]\n"...)
}

// appendString appends text as a JSON string in which nothing is left that a
// terminal would take for a control character: also a recording that is printed
// as it is does nothing. Each byte that is not UTF-8 becomes U+FFFD.
func appendString(b, text []byte) []byte {
	b = append(b, '"')
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r == '\t':
			b = append(b, `\t`...)
		case isControl(r):
			b = appendEscape(b, r)
		default:
			b = utf8.AppendRune(b, r)
		}
		text = text[n:]
	}
	return append(b, '"')
}

// isControl reports whether r is of C0 or C1, or DEL.
func isControl(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }

func appendEscape(b []byte, r rune) []byte { return fmt.Appendf(b, `\u%04x`, r) }

// escapeControls is JSON with the control characters that JSON permits escaped:
// they are in strings only.
func escapeControls(json []byte) []byte {
	b := make([]byte, 0, len(json))
	for _, r := range string(json) {
		if r != '\n' && isControl(r) {
			b = appendEscape(b, r)
			continue
		}
		b = utf8.AppendRune(b, r)
	}
	return b
}
