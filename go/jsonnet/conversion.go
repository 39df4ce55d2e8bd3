package jsonnet

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// conversion is one code of a format string: %[(key)][flags][width][.precision]type.
type conversion struct {
	key       string // of an object
	keyed     bool
	alt, zero bool
	left      bool
	blank     bool
	sign      bool
	width     int
	precision int // -1: none
	kind      byte
	text      string // the code as it stands, without its key
}

// plain reports whether the code gives std.toString of its value and no more.
func (c conversion) plain() bool { return c.kind == 's' && c.width == 0 }

// part is a text, or a code when code is not nil.
type part struct {
	text string
	code *conversion
}

// maxWidth bounds widths and precisions that are rendered here; what is wider is
// left to the evaluator, which counts by itself.
const maxWidth = 1000

// parseFormat takes a format string apart. It is false for what the evaluator's
// own std.format is to say something about: an error, a width or precision that
// is a value (*), and what hardly anybody writes.
func parseFormat(s string) ([]part, bool) {
	var parts []part
	var text strings.Builder
	for {
		before, rest, found := strings.Cut(s, "%")
		text.WriteString(before)
		if !found {
			break
		}
		if strings.HasPrefix(rest, "%") {
			text.WriteByte('%')
			s = rest[1:]
			continue
		}
		code, after, ok := parseConversion(rest)
		if !ok {
			return nil, false
		}
		if text.Len() > 0 {
			parts = append(parts, part{text: text.String()})
			text.Reset()
		}
		parts = append(parts, part{code: &code})
		s = after
	}
	if text.Len() > 0 {
		parts = append(parts, part{text: text.String()})
	}
	return parts, true
}

// parseConversion reads one code behind its percent sign.
func parseConversion(s string) (c conversion, rest string, ok bool) {
	c.precision = -1
	if strings.HasPrefix(s, "(") {
		c.key, s, ok = strings.Cut(s[1:], ")")
		if !ok {
			return c, "", false
		}
		c.keyed = true
	}
	whole := s
	s = c.flags(s)
	if c.width, s, ok = parseCount(s); !ok {
		return c, "", false
	}
	if strings.HasPrefix(s, ".") {
		if c.precision, s, ok = parseCount(s[1:]); !ok {
			return c, "", false
		}
	}
	if s != "" && strings.IndexByte("hlL", s[0]) >= 0 {
		s = s[1:]
	}
	if s == "" || strings.IndexByte("diuoxXeEfFgGcs", s[0]) < 0 {
		return c, "", false
	}
	c.kind = s[0]
	if c.kind == 'i' || c.kind == 'u' {
		c.kind = 'd'
	}
	c.text = "%" + whole[:len(whole)-len(s)+1]
	return c, s[1:], true
}

func (c *conversion) flags(s string) string {
	for ; s != ""; s = s[1:] {
		switch s[0] {
		case '#':
			c.alt = true
		case '0':
			c.zero = true
		case '-':
			c.left = true
		case ' ':
			c.blank = true
		case '+':
			c.sign = true
		default:
			return s
		}
	}
	return s
}

// parseCount reads digits, none of which is 0.
func parseCount(s string) (n int, rest string, ok bool) {
	for ; s != "" && s[0] >= '0' && s[0] <= '9'; s = s[1:] {
		if n = n*10 + int(s[0]-'0'); n > maxWidth {
			return 0, "", false
		}
	}
	return n, s, true
}

// maxWhole is below where each whole number is a double of its own: beyond, the
// evaluator's way of counting digits has errors of its own.
const maxWhole = 1 << 53

// number renders n as the evaluator's std.format does, the padding to the width
// included. It is false where that is left to it.
func (c conversion) number(n float64) (string, bool) {
	if math.IsNaN(n) || math.Abs(n) >= maxWhole {
		return "", false
	}
	var s string
	switch c.kind {
	case 'd':
		s = c.whole(n <= -1, math.Floor(math.Abs(n)), 10, "")
	case 'o':
		prefix := ""
		if c.alt {
			prefix = "0"
		}
		s = c.whole(n <= -1, math.Floor(math.Abs(n)), 8, prefix)
	case 'x', 'X':
		prefix := ""
		if c.alt {
			prefix = "0x"
		}
		s = c.whole(math.Floor(n) < 0, math.Abs(math.Floor(n)), 16, prefix)
		if c.kind == 'X' {
			s = strings.ToUpper(s)
		}
	case 'f', 'F':
		var ok bool
		if s, ok = c.decimal(n); !ok {
			return "", false
		}
	default:
		return "", false
	}
	return c.pad(s), true
}

func (c conversion) zeros() int {
	if c.zero && !c.left {
		return c.width
	}
	return 0
}

// whole renders a number that has no fraction and no sign.
func (c conversion) whole(negative bool, n float64, base int, prefix string) string {
	return integer{
		negative: negative, n: n, base: base, prefix: prefix,
		zeros: c.zeros(), digits: max(c.precision, 0), blank: c.blank, sign: c.sign,
	}.String()
}

// integer is what the evaluator's render_int is called with.
type integer struct {
	negative      bool
	n             float64
	base          int
	prefix        string
	zeros, digits int // least length with and without sign and prefix
	blank, sign   bool
}

func (i integer) String() string {
	digits := strconv.FormatInt(int64(i.n), i.base)
	if i.n == 0 && i.base != 16 {
		i.prefix = "" // the prefix of octal zero is the digit itself
	}
	sign := ""
	switch {
	case i.negative:
		sign = "-"
	case i.sign:
		sign = "+"
	case i.blank:
		sign = " "
	}
	if i.base == 16 { // its prefix is not one of the digits that are counted
		least := max(i.zeros-len(sign)-len(i.prefix), i.digits)
		return sign + i.prefix + leadingZeros(digits, least)
	}
	return sign + leadingZeros(i.prefix+digits, max(i.zeros-len(sign), i.digits))
}

func leadingZeros(s string, length int) string {
	return strings.Repeat("0", max(0, length-len(s))) + s
}

// decimal renders %f.
func (c conversion) decimal(n float64) (string, bool) {
	precision := c.precision
	if precision < 0 {
		precision = 6
	}
	denominator := math.Pow(10, float64(precision))
	numerator := math.Abs(n)*denominator + 0.5
	if numerator >= maxWhole {
		return "", false
	}
	whole := math.Floor(numerator / denominator)
	fraction := math.Mod(math.Floor(numerator), denominator)
	dot := 1
	if precision == 0 && !c.alt {
		dot = 0
	}
	s := integer{
		negative: n < 0, n: whole, base: 10, zeros: c.zeros() - precision - dot, blank: c.blank, sign: c.sign,
	}.String()
	if dot == 1 {
		s += "."
	}
	if precision > 0 {
		s += leadingZeros(strconv.FormatInt(int64(fraction), 10), precision)
	}
	return s, true
}

// pad fills s with blanks up to the width, in characters.
func (c conversion) pad(s string) string {
	missing := c.width - utf8.RuneCountInString(s)
	if missing <= 0 {
		return s
	}
	if c.left {
		return s + strings.Repeat(" ", missing)
	}
	return strings.Repeat(" ", missing) + s
}
