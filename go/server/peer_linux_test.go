package server

import (
	"net/http"
	"testing"
)

func TestGroup(t *testing.T) {
	for _, c := range []struct{ a, b string }{
		{"192.0.2.1", "192.0.2.1"},
		{"::ffff:192.0.2.1", "192.0.2.1"},
		{"2001:db8:1:2:3::1", "2001:db8:1:2:ffff::"},
		{"fe80::1%eth0", "fe80::2"},
	} {
		if group(addr(c.a)) != group(addr(c.b)) {
			t.Errorf("%s and %s are not one address", c.a, c.b)
		}
	}
	if group(addr("192.0.2.1")) == group(addr("192.0.2.2")) || group(addr("2001:db8:1:2::")) == group(addr("2001:db8:1:3::")) {
		t.Error("different addresses are one")
	}
	if group(remoteAddr("@")).IsValid() {
		t.Error("no address is one")
	}
}

func TestClientAddress(t *testing.T) {
	p, err := parseProxies([]string{"127.0.0.1", "10.0.0.0/8", "2001:db8::/32"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		remote string
		header []string
		want   string
	}{
		{"192.0.2.9:1", []string{"198.51.100.1"}, "192.0.2.9"},
		{"127.0.0.1:1", nil, "127.0.0.1"},
		{"127.0.0.1:1", []string{"198.51.100.1"}, "198.51.100.1"},
		{"127.0.0.1:1", []string{"6.6.6.6, 198.51.100.1"}, "198.51.100.1"},
		{"127.0.0.1:1", []string{"6.6.6.6, 198.51.100.1, 10.1.2.3"}, "198.51.100.1"},
		{"127.0.0.1:1", []string{"6.6.6.6", "198.51.100.1"}, "198.51.100.1"},
		{"127.0.0.1:1", []string{"10.1.1.1, 10.2.2.2"}, "10.1.1.1"},
		{"127.0.0.1:1", []string{"6.6.6.6, junk, 10.2.2.2"}, "10.2.2.2"},
		{"127.0.0.1:1", []string{"junk"}, "127.0.0.1"},
		{"127.0.0.1:1", []string{"198.51.100.1:4711"}, "198.51.100.1"},
		{"[::ffff:127.0.0.1]:1", []string{"[2001:db9::5]:80"}, "2001:db9::5"},
		{"[2001:db8::1]:1", []string{"[2001:db9::5]"}, "2001:db9::5"},
		{"127.0.0.1:1", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
	} {
		r := &http.Request{RemoteAddr: c.remote, Header: http.Header{"X-Forwarded-For": c.header}}
		if got := p.client(r); got.String() != c.want {
			t.Errorf("from %s by %q: %s, want %s", c.remote, c.header, got, c.want)
		}
	}
	if _, err := parseProxies([]string{"proxy.example.com"}); err == nil {
		t.Error("a name is accepted as a trusted proxy")
	}
}
