package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes.
type Size uint64

// sizeUnits, the largest first.
func sizeUnits() []struct {
	name  string
	bytes uint64
} {
	return []struct {
		name  string
		bytes uint64
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}}
}

var errSize = errors.New(`not a size: write bytes, or a whole number with KiB, MiB, GiB or TiB, such as "1MiB"`)

// ParseSize reads a size: a whole number of bytes, or of KiB, MiB, GiB or TiB.
func ParseSize(s string) (Size, error) {
	digits, unit := s, uint64(1)
	for _, u := range sizeUnits() {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			digits, unit = strings.TrimRight(rest, " "), u.bytes
			break
		}
	}
	n, err := parseDigits(digits, 10)
	if err != nil || n > math.MaxInt64/unit {
		return 0, errSize
	}
	return Size(n * unit), nil
}

// String is the size in the largest unit that gives a whole number.
func (s Size) String() string {
	for _, u := range sizeUnits() {
		if s != 0 && uint64(s)%u.bytes == 0 && u.bytes > 1 {
			return strconv.FormatUint(uint64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatUint(uint64(s), 10)
}

// FileMode is a set of permission bits, written in octal.
type FileMode uint32

var errMode = errors.New(`not a file mode: write octal digits as a string, such as "022"`)

// ParseFileMode reads one to four octal digits.
func ParseFileMode(s string) (FileMode, error) {
	n, err := parseDigits(s, 8)
	if err != nil || n > 0o7777 {
		return 0, errMode
	}
	return FileMode(n), nil
}

// String is the mode in octal with a leading zero.
func (m FileMode) String() string { return fmt.Sprintf("%#03o", uint32(m)) }

// parseDigits is strconv.ParseUint without signs, underscores and prefixes.
func parseDigits(s string, base int) (uint64, error) {
	if strings.Trim(s, "0123456789") != "" {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseUint(s, base, 63)
}

var errDuration = errors.New(`not a duration: write a number with a unit, such as "90s", "10m" or "1h30m"`)

// parseDuration reads a Go duration that is not negative.
func parseDuration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	switch {
	case err != nil && strings.Trim(s, "0123456789.") == "" && s != "":
		return 0, fmt.Errorf("a duration needs a unit: write %q for seconds", s+"s")
	case err != nil:
		return 0, errDuration
	case d < 0:
		return 0, errors.New("must not be negative")
	}
	return d, nil
}

// formatDuration is d as people write it: without the zero units at its end.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Rate is a number of events in a time.
type Rate struct {
	Count int           // events; 0: no limit
	Per   time.Duration // a second, a minute or an hour
}

// ParseRate reads "10/s", "300/m", "1000/h", or "off" for no limit.
func ParseRate(s string) (Rate, error) {
	if s == "off" {
		return Rate{}, nil
	}
	count, unit, _ := strings.Cut(s, "/")
	per := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
	n, err := parseDigits(count, 10)
	if err != nil || per == 0 || n == 0 || n > math.MaxInt32 {
		return Rate{}, errors.New(`not a rate: write a number per s, m or h, such as "10/s" or "300/m", or "off"`)
	}
	return Rate{Count: int(n), Per: per}, nil
}

// parseInt reads a whole number of JSON that is not negative.
func parseInt(n json.Number) (int, error) {
	v, err := strconv.Atoi(n.String())
	if err != nil {
		return 0, errors.New("a whole number is needed")
	}
	if v < 0 {
		return 0, errors.New("must not be negative")
	}
	return v, nil
}
