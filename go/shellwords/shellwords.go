// Package shellwords splits a command line into words by the quoting rules of
// the POSIX shell (XCU 2.2) and does nothing else that a shell does: no
// expansion, no operators, no comments. A word such as "$HOME" or "a;b" comes
// back as it was written. It is pure, imports nothing of this module and starts
// no goroutine.
package shellwords

import (
	"errors"
	"strings"
)

// Errors of [Split].
var (
	ErrQuote     = errors.New("a quote is not closed")
	ErrBackslash = errors.New("a backslash stands at the end")
	ErrNUL       = errors.New("a NUL byte")
)

// Split gives the words of line. Words are separated by spaces, tabs and
// newlines. Single quotes keep everything up to the next one; double quotes
// keep everything but a backslash before one of $ ` " \ and newline; elsewhere a
// backslash keeps the next byte. A backslash before a newline joins the lines.
// Empty quotes make an empty word. The error is one of [ErrQuote],
// [ErrBackslash] and [ErrNUL]. A line without words gives none.
func Split(line string) ([]string, error) {
	if strings.IndexByte(line, 0) >= 0 {
		return nil, ErrNUL
	}
	var words []string
	for {
		line = skipBlanks(line)
		if line == "" {
			return words, nil
		}
		word, rest, err := next(line)
		if err != nil {
			return nil, err
		}
		words, line = append(words, word), rest
	}
}

// skipBlanks drops what stands before a word; a joined line is not a word.
func skipBlanks(line string) string {
	for {
		line = strings.TrimLeft(line, blanks)
		rest, joined := strings.CutPrefix(line, "\\\n")
		if !joined {
			return line
		}
		line = rest
	}
}

const blanks = " \t\n"

// next cuts the first word off line, which starts with one.
func next(line string) (word, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(line); i++ {
		switch c := line[i]; c {
		case ' ', '\t', '\n':
			return b.String(), line[i:], nil
		case '\'':
			end := strings.IndexByte(line[i+1:], '\'')
			if end < 0 {
				return "", "", ErrQuote
			}
			b.WriteString(line[i+1 : i+1+end])
			i += end + 1
		case '"':
			n, err := double(&b, line[i+1:])
			if err != nil {
				return "", "", err
			}
			i += n
		case '\\':
			if i++; i == len(line) {
				return "", "", ErrBackslash
			}
			if line[i] != '\n' {
				b.WriteByte(line[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), "", nil
}

// double writes what stands between double quotes; s starts behind the first.
// n is the bytes taken, the closing quote among them.
func double(b *strings.Builder, s string) (n int, err error) {
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			return i + 1, nil
		case s[i] == '\\' && i+1 < len(s) && strings.IndexByte("$`\"\\\n", s[i+1]) >= 0:
			if i++; s[i] != '\n' {
				b.WriteByte(s[i])
			}
		default:
			b.WriteByte(s[i])
		}
	}
	return 0, ErrQuote
}
