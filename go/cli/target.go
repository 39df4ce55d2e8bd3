package cli

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"etcha/go/config"
	"etcha/go/errs"
)

// defaultPort is where a node listens, unless it is told otherwise.
const defaultPort = 4000

// place is where a node is reached and by what name it is known.
type place struct {
	name      string // of the target; empty: known by host and port
	scheme    string
	host      string // name or address, an IPv6 one without brackets
	port      int
	path      string // prefix of every route
	pathShell string
	nodeID    string
	proxy     string
}

// url is the base of the node's routes.
func (p place) url() string {
	u := url.URL{Scheme: p.scheme, Host: net.JoinHostPort(p.host, strconv.Itoa(p.port)), Path: p.path}
	return u.String()
}

// known is the name in the known nodes: the target's, else host and port.
func (p place) known() string {
	if p.name != "" {
		return p.name
	}
	return net.JoinHostPort(p.host, strconv.Itoa(p.port))
}

// String is how messages name the node.
func (p place) String() string {
	switch {
	case p.name != "":
		return p.name
	case p.port == defaultPort:
		return p.host
	default:
		return net.JoinHostPort(p.host, strconv.Itoa(p.port))
	}
}

// argument is what stands for the node on a command line.
func (p place) argument() string {
	if p.name == "" && (p.scheme == "http" || p.path != "") {
		return p.url()
	}
	return p.String()
}

// findPlace resolves what stands for TARGET: the name of a configured target,
// else host[:port] or an URL.
func findPlace(cfg *config.Config, target string) (place, error) {
	if t, ok := cfg.Targets[target]; ok {
		return configuredPlace(target, t)
	}
	p, err := parsePlace(target)
	if err != nil {
		return place{}, err
	}
	return p, nil
}

func configuredPlace(name string, t config.Target) (place, error) {
	p := place{
		name: name, scheme: "https", host: t.Hostname, port: t.Port,
		path: t.Path, pathShell: t.PathShell, nodeID: t.NodeID,
	}
	if p.host == "" {
		p.host = name
	}
	if p.port == 0 {
		p.port = defaultPort
	}
	if t.Insecure {
		p.scheme = "http"
	}
	switch {
	case t.Via == "":
	case strings.Contains(t.Via, "://"):
		p.proxy = t.Via
	default:
		return place{}, errs.Usage("target %s: via names the target %q, and only a proxy's URL can stand there", name, t.Via)
	}
	return p, nil
}

// parsePlace reads host, host:port, an IPv6 address with or without brackets,
// or an URL.
func parsePlace(s string) (place, error) {
	bad := func(why string) (place, error) {
		return place{}, errs.Usage("target %q: %s", s, why).
			WithHint("a target is a name from the configuration, or host, host:port, [address]:port")
	}
	if strings.Contains(s, "://") {
		return parsePlaceURL(s, bad)
	}
	if s == "" || strings.ContainsAny(s, " \t\r\n/?#\\\"'<>") {
		return bad("not a host")
	}
	if user, host, ok := strings.Cut(s, "@"); ok {
		return place{}, errs.Usage("target %q: there is no user in a target", s).
			WithHint("the source says which user the shell runs as: etcha shell %s %s, where the node has a source %s", user, host, user)
	}
	p := place{scheme: "https", port: defaultPort}
	if a, ok := parseAddress(s); ok {
		p.host = a
		return p, nil
	}
	if !strings.ContainsAny(s, ":[]") {
		p.host = s
		return p, nil
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" {
		return bad("not host:port")
	}
	if p.port, err = parsePort(port); err != nil {
		return bad(err.Error())
	}
	p.host = host
	return p, nil
}

// parseAddress reads an IP address without a port; brackets are for IPv6.
func parseAddress(s string) (string, bool) {
	inner, bracketed := strings.CutPrefix(s, "[")
	if bracketed {
		var closed bool
		if inner, closed = strings.CutSuffix(inner, "]"); !closed {
			return "", false
		}
	}
	a, err := netip.ParseAddr(inner)
	if err != nil || bracketed && !a.Is6() {
		return "", false
	}
	return a.String(), true
}

func parsePlaceURL(s string, bad func(string) (place, error)) (place, error) {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return bad("not an URL of a node")
	}
	if u.Scheme != "https" && u.Scheme != "http" {
		return bad("the URL of a node starts with https:// or http://")
	}
	p := place{scheme: u.Scheme, host: u.Hostname(), port: 443, path: strings.TrimRight(u.Path, "/")}
	if u.Scheme == "http" {
		p.port = 80
	}
	if u.Port() != "" {
		if p.port, err = parsePort(u.Port()); err != nil {
			return bad(err.Error())
		}
	}
	return p, nil
}

func parsePort(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 65535 {
		return 0, errs.Usage("the port is a number from 1 to 65535, not %q", s)
	}
	return n, nil
}

// targetNames lists the configured targets for a hint, a few of many.
func targetNames(cfg *config.Config) string {
	const few = 8
	var names []string
	for name := range cfg.Targets {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(names) > few {
		names = append(names[:few], "…")
	}
	return strings.Join(names, ", ")
}
