package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"etcha/go/logs"
)

// validator finds what is wrong with values that have the right type.
type validator struct {
	l     *Loaded
	c     *Config
	found []*Problem
}

// add reports err, if there is one, at path.
func (v *validator) add(err error, path ...string) {
	if err != nil {
		v.found = append(v.found, problemf(v.l.origin(path), path, "%s", err))
	}
}

// missing reports that the object at path lacks key, unless key is there and was
// left out because it is wrong itself.
func (v *validator) missing(err error, key string, path ...string) {
	at := keyText(below(path, key))
	if !slices.ContainsFunc(v.found, func(p *Problem) bool { return p.Key == at }) {
		v.add(err, path...)
	}
}

// origin is where the value at path was set.
func (l *Loaded) origin(path []string) Origin {
	if from, ok := l.from[join(path)]; ok {
		return from.origin(path)
	}
	return Origin{Kind: FromDefault}
}

func (v *validator) all() {
	v.add(oneOf(v.c.CLI.LogFormat, logs.Formats()...), "cli", "logFormat")
	v.add(oneOf(v.c.CLI.LogLevel, logs.Levels()...), "cli", "logLevel")
	for _, name := range slices.Sorted(maps.Keys(v.c.CLI.Macros)) {
		if v.c.CLI.Macros[name].Template == "" {
			v.missing(errors.New("a template is needed"), "template", "cli", "macros", name)
		}
	}
	v.add(regular(v.c.Lint.Exclude), "lint", "exclude")
	v.httpClient()
	v.httpServer()
	v.run()
	v.execs()
	for _, name := range slices.Sorted(maps.Keys(v.c.Sources)) {
		v.source(name)
	}
	for _, name := range slices.Sorted(maps.Keys(v.c.Targets)) {
		v.target(name)
	}
	v.later()
}

func (v *validator) httpClient() {
	c := v.c.HTTPClient
	v.add(oneOf(c.Trust, "pin", "ca"), "httpClient", "trust")
	if c.Proxy != "" {
		v.add(proxyURL(c.Proxy), "httpClient", "proxy")
	}
	if c.Certificate == "" && c.Key != "" {
		v.add(errors.New("httpClient.certificate is needed too"), "httpClient", "key")
	}
	if c.Certificate != "" && c.Key == "" {
		v.add(errors.New("httpClient.key is needed too"), "httpClient", "certificate")
	}
	if c.Trust == "ca" && c.NoSystemCA && c.CAFile == "" {
		v.add(errors.New("no authority is left to trust; set httpClient.caFile"), "httpClient", "noSystemCA")
	}
}

func (v *validator) httpServer() {
	s := v.c.HTTPServer
	v.add(listenAddress(s.ListenAddress), "httpServer", "listenAddress")
	_, err := ParseRate(s.RateLimit)
	v.add(err, "httpServer", "rateLimit")
	for i, p := range s.TrustedProxies {
		v.add(network(p), "httpServer", "trustedProxies", index(i))
	}
	if s.TLSCertificate == "" && s.TLSKey != "" {
		v.add(errors.New("httpServer.tlsCertificate is needed too"), "httpServer", "tlsKey")
	}
	if s.TLSCertificate != "" && s.TLSKey == "" {
		v.add(errors.New("httpServer.tlsKey is needed too"), "httpServer", "tlsCertificate")
	}
	if s.ClientCAFile != "" && s.DisableTLS {
		v.add(errors.New("client certificates cannot be checked with httpServer.disableTLS"), "httpServer", "clientCAFile")
	}
}

func (v *validator) run() {
	r := v.c.Run
	v.add(atLeastOne(r.MaxSessions), "run", "maxSessions")
	v.add(atLeastOne(r.MaxSessionsPerKey), "run", "maxSessionsPerKey")
	if r.StateDir == "" {
		v.add(errors.New("no home folder is known to keep state in; set it"), "run", "stateDir")
	}
	v.keys(r.VerifyKeys, "run", "verifyKeys")
	v.add(oneOf(r.Recordings.Format, "v3", "v2"), "run", "recordings", "format")
	v.ship()
}

func (v *validator) keys(keys []string, path ...string) {
	if v.l.opts.KeyCheck == nil {
		return
	}
	for i, k := range keys {
		v.add(v.l.opts.KeyCheck(k), below(path, index(i))...)
	}
}

func oneOf(value string, names ...string) error {
	if slices.Contains(names, value) {
		return nil
	}
	return fmt.Errorf("%q is not one of %s", value, strings.Join(names, ", "))
}

func atLeastOne(n int) error {
	if n < 1 {
		return errors.New("must be at least 1")
	}
	return nil
}

func regular(expression string) error {
	_, err := regexp.Compile(expression)
	return err
}

func listenAddress(s string) error {
	_, port, err := net.SplitHostPort(s)
	if err == nil {
		err = portNumber(port)
	}
	if err != nil {
		return fmt.Errorf("%q is not host:port, such as \":4000\" or \"127.0.0.1:4000\"", s)
	}
	return nil
}

func portNumber(s string) error {
	n, err := parseDigits(s, 10)
	if err != nil || n > 65535 {
		return errors.New("not a port")
	}
	return nil
}

func network(s string) error {
	if _, err := netip.ParseAddr(s); err == nil {
		return nil
	}
	if _, err := netip.ParsePrefix(s); err == nil {
		return nil
	}
	return fmt.Errorf("%q is neither an address nor a network such as 10.0.0.0/8", s)
}

// proxyURL checks the URL of a proxy. What is wrong with it is said without it:
// it may hold a password.
func proxyURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
		return errors.New("not a proxy: write a URL such as http://proxy:3128, https, socks5 or socks5h")
	}
	return nil
}
