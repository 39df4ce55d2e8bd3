package cli

import (
	"strings"
	"testing"

	"etcha/go/config"
	"etcha/go/errs"
)

func TestParsePlace(t *testing.T) {
	for in, want := range map[string]string{
		"myhost":                    "https://myhost:4000",
		"myhost.example.com":        "https://myhost.example.com:4000",
		"myhost:4443":               "https://myhost:4443",
		"10.0.0.7":                  "https://10.0.0.7:4000",
		"10.0.0.7:4001":             "https://10.0.0.7:4001",
		"::1":                       "https://[::1]:4000",
		"[::1]":                     "https://[::1]:4000",
		"[::1]:4001":                "https://[::1]:4001",
		"fe80::1%eth0":              "https://[fe80::1%25eth0]:4000",
		"2001:db8::4001":            "https://[2001:db8::4001]:4000",
		"https://host/node1/":       "https://host:443/node1",
		"http://host:8080/node 1":   "http://host:8080/node%201",
		"https://[2001:db8::1]:444": "https://[2001:db8::1]:444",
		"http://localhost":          "http://localhost:80",
	} {
		p, err := parsePlace(in)
		if err != nil {
			t.Errorf("%q: %v", in, err)
			continue
		}
		if got := p.url(); got != want {
			t.Errorf("%q: %s, want %s", in, got, want)
		}
	}
}

func TestParsePlaceRefuses(t *testing.T) {
	for _, in := range []string{
		"", "host:", ":4000", "host:0", "host:65536", "host:http", "host:4000:5", "a b", "host/path",
		"[::1", "[10.0.0.7]", "user@host", "ftp://host", "https://", "https://host?x", "https://user@host", "host:-1",
	} {
		p, err := parsePlace(in)
		if err == nil {
			t.Errorf("%q is accepted as %s", in, p.url())
			continue
		}
		if errs.ExitOf(err) != errs.ExitUsage || errs.HintOf(err) == "" && !strings.Contains(err.Error(), "port") {
			t.Errorf("%q: exit %d, hint %q: %v", in, errs.ExitOf(err), errs.HintOf(err), err)
		}
	}
}

func TestFindPlace(t *testing.T) {
	cfg := &config.Config{Targets: map[string]config.Target{
		"web":        {Hostname: "web1.example.com", Port: 4001, Path: "/node1", NodeID: "SHA256:x"},
		"db.example": {},
		"local":      {Insecure: true, Hostname: "::1"},
		"far":        {Via: "socks5://gate:1080"},
		"hop":        {Via: "web"},
	}}
	for name, want := range map[string]string{
		"web":        "https://web1.example.com:4001/node1",
		"db.example": "https://db.example:4000",
		"local":      "http://[::1]:4000",
		"far":        "https://far:4000",
		"other:99":   "https://other:99",
	} {
		p, err := findPlace(cfg, name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if p.url() != want {
			t.Errorf("%s: %s, want %s", name, p.url(), want)
		}
	}
	if p, err := findPlace(cfg, "web"); err != nil || p.nodeID != "SHA256:x" || p.known() != "web" || p.String() != "web" {
		t.Errorf("web: %+v, %v", p, err)
	}
	if p, err := findPlace(cfg, "far"); err != nil || p.proxy != "socks5://gate:1080" {
		t.Errorf("far: %+v, %v", p, err)
	}
	if _, err := findPlace(cfg, "hop"); errs.ExitOf(err) != errs.ExitUsage {
		t.Errorf("hop: %v", err)
	}
	if p, err := findPlace(cfg, "other"); err != nil || p.known() != "other:4000" || p.String() != "other" {
		t.Errorf("other: %+v, %v", p, err)
	}
}
