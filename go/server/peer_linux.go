package server

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"etcha/go/errs"
)

// ipv6Group is the prefix length that one customer usually has to himself.
const ipv6Group = 64

// group is what counts as one address: an IPv4 address, or an IPv6 network.
func group(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := a.BitLen()
	if a.Is6() {
		bits = ipv6Group
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}

// proxies are the addresses whose forwarded headers are believed.
type proxies []netip.Prefix

// parseProxies reads addresses and networks in CIDR form.
func parseProxies(list []string) (proxies, error) {
	var p proxies
	for _, s := range list {
		if a, err := netip.ParseAddr(s); err == nil {
			p = append(p, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
			continue
		}
		n, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, &errs.Error{
				Text: fmt.Sprintf("httpServer.trustedProxies: %q is not an address or network", s),
				Hint: "write 192.0.2.1 or 192.0.2.0/24",
			}
		}
		p = append(p, n.Masked())
	}
	return p, nil
}

func (p proxies) contain(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	for _, n := range p {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

// client is the address that a request came from: the connection's, or behind
// trusted proxies the last one in X-Forwarded-For that is not a trusted proxy.
// What stands before that is the client's own text.
func (p proxies) client(r *http.Request) netip.Addr {
	addr := remoteAddr(r.RemoteAddr)
	if !p.contain(addr) {
		return addr
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, ok := parseHop(strings.TrimSpace(hops[i]))
		if !ok {
			break
		}
		addr = hop
		if !p.contain(hop) {
			break
		}
	}
	return addr
}

// parseHop reads an address with or without a port, as proxies write them.
func parseHop(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return a.Unmap().WithZone(""), true
	}
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone(""), true
	}
	return netip.Addr{}, false
}

func remoteAddr(s string) netip.Addr {
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}
