package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	for s, want := range map[string]Size{
		"0": 0, "1": 1, "10B": 10, "1KiB": 1024, "64 KiB": 65536, "1MiB": 1 << 20, "3GiB": 3 << 30, "1TiB": 1 << 40,
		"9223372036854775807": math.MaxInt64,
	} {
		if got, err := ParseSize(s); err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "B", "MiB", "-1", "+1", "1.5MiB", "1_000", "1MB", "1mib", " 1", "1 ", "0x10", "8388608TiB", "9223372036854775808", "1KiBB", "1e3"} {
		if got, err := ParseSize(s); !errors.Is(err, errSize) {
			t.Errorf("%q is %d, %v; want an error", s, got, err)
		}
	}
	for size, want := range map[Size]string{0: "0", 1: "1", 1023: "1023", 1024: "1KiB", 1 << 20: "1MiB", 1<<20 + 1024: "1025KiB", 5 << 40: "5TiB"} {
		if got := size.String(); got != want {
			t.Errorf("%d is written %q, want %q", uint64(size), got, want)
		}
	}
}

func TestParseFileMode(t *testing.T) {
	for s, want := range map[string]FileMode{"0": 0, "022": 0o22, "22": 0o22, "0755": 0o755, "7777": 0o7777} {
		if got, err := ParseFileMode(s); err != nil || got != want {
			t.Errorf("%q is %o, %v; want %o", s, got, err, want)
		}
	}
	for _, s := range []string{"", "8", "0o22", "-1", "u+x", "17777", "0_22"} {
		if got, err := ParseFileMode(s); !errors.Is(err, errMode) {
			t.Errorf("%q is %o, %v; want an error", s, got, err)
		}
	}
	if s := FileMode(0o22).String() + " " + FileMode(0o1777).String(); s != "022 01777" {
		t.Errorf("written %q, want 022 01777", s)
	}
}

func TestFormatDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", time.Second: "1s", 90 * time.Second: "1m30s", 10 * time.Minute: "10m", time.Hour: "1h", time.Hour + time.Second: "1h0m1s",
		100 * time.Hour: "100h", 1500 * time.Millisecond: "1.5s", time.Hour + 10*time.Minute: "1h10m",
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("%v is written %q, want %q", d, got, want)
		}
	}
}

func TestParseRate(t *testing.T) {
	for s, want := range map[string]Rate{"off": {}, "10/s": {10, time.Second}, "300/m": {300, time.Minute}, "1/h": {1, time.Hour}} {
		if got, err := ParseRate(s); err != nil || got != want {
			t.Errorf("%q is %v, %v; want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "10", "10/", "/s", "0/s", "-1/s", "10/d", "10/S", "10 / s", "9999999999/s", "1.5/s", "Off"} {
		if got, err := ParseRate(s); err == nil {
			t.Errorf("%q is %v, want an error", s, got)
		}
	}
}

// A secret must not come out through anything that formats.
func TestSecretNeverShows(t *testing.T) {
	const canary = "canary"
	s := Secret(canary)
	type holder struct {
		S Secret
		P *Secret
		M map[string]Secret
		L []Secret
	}
	h := holder{S: s, P: &s, M: map[string]Secret{"k": s}, L: []Secret{s}}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10.3s", "% x", "%T"} {
		fmt.Fprintf(&out, verb+"\n"+verb+"\n"+verb+"\n", s, &s, h)
	}
	for _, v := range []any{s, h} {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(b)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "s", s, "h", h)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "s", s, "h", h)
	for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary), fmt.Sprintf("% x", canary), canary[:3]} {
		if strings.Contains(out.String(), form) {
			t.Errorf("%q came out:\n%s", form, out.String())
		}
	}
	if s.Reveal() != canary {
		t.Errorf("revealed %q", s.Reveal())
	}
	if got := fmt.Sprint(Secret("")); got != "" {
		t.Errorf("an empty secret shows as %q, want nothing", got)
	}
}
