package rule

import (
	"errors"
	"net/netip"
	"reflect"
	"time"
)

// words is [Env] and the functions of the language: what a rule sees, by the
// names in the tags.
type words struct {
	Op      string            `expr:"op"`
	Key     Key               `expr:"key"`
	Sub     string            `expr:"sub"`
	Addr    string            `expr:"addr"`
	Source  string            `expr:"source"`
	Process string            `expr:"process"`
	Command string            `expr:"command"`
	Args    []string          `expr:"args"`
	PTY     bool              `expr:"pty"`
	Detach  bool              `expr:"detach"`
	Env     map[string]string `expr:"env"`
	Labels  map[string]string `expr:"labels"`
	Own     bool              `expr:"own"`
	Opener  Key               `expr:"opener"`
	Now     time.Time         `expr:"now"`

	Hour    func() int                                      `expr:"hour"`    // of now, 0 to 23
	Weekday func() string                                   `expr:"weekday"` // of now, in English: "Monday"
	InCIDR  func(addr string, nets ...string) (bool, error) `expr:"inCIDR"`  // whether the address is in one of the networks
	Glob    func(text, pattern string) bool                 `expr:"glob"`    // whether the whole text fits; * is any text, ? one character
}

func wordsOf(e Env) words {
	return words{
		Op: e.Op, Key: e.Key, Sub: e.Sub, Addr: e.Addr, Source: e.Source, Process: e.Process,
		Command: e.Command, Args: e.Args, PTY: e.PTY, Detach: e.Detach, Env: e.Env, Labels: e.Labels,
		Own: e.Own, Opener: e.Opener, Now: e.Now,

		Hour:    e.Now.Hour,
		Weekday: func() string { return e.Now.Weekday().String() },
		InCIDR:  inCIDR,
		Glob:    glob,
	}
}

// builtins are the library's functions that a rule may use: those that cannot
// make something large of something small, and know no clock.
func builtins() []string {
	return []string{
		"all", "any", "none", "one", "filter", "find", "findIndex", "count", "map",
		"len", "first", "last", "keys", "values", "indexOf", "lastIndexOf", "hasPrefix", "hasSuffix",
		"trim", "trimPrefix", "trimSuffix", "upper", "lower", "join", "string", "int", "abs", "min", "max",
		"date", "duration", "timezone",
	}
}

// vocabulary is the words of the language that can stand alone.
func vocabulary() []string { return append(tags(reflect.TypeFor[words]()), builtins()...) }

// tags are the words that a type has.
func tags(t reflect.Type) []string {
	var names []string
	for f := range t.Fields() {
		names = append(names, f.Tag.Get("expr"))
	}
	return names
}

// Errors of functions. They name no value: see [failure].
var (
	errAddr = errors.New("inCIDR: the first argument is not an address")
	errNet  = errors.New("inCIDR: not a network such as 10.0.0.0/8")
)

func inCIDR(addr string, nets ...string) (bool, error) {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return false, errAddr
	}
	a = a.Unmap().WithZone("")
	for _, n := range nets {
		prefix, err := network(n)
		if err != nil {
			return false, err
		}
		if prefix.Contains(a) {
			return true, nil
		}
	}
	return false, nil
}

// network reads a network, or an address that stands for itself. One of IPv4
// addresses in their form of IPv6 would contain none, as addresses are compared
// in the shortest form.
func network(s string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		if p.Addr().Is4In6() {
			return netip.Prefix{}, errNet
		}
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil || a.Zone() != "" {
		return netip.Prefix{}, errNet
	}
	a = a.Unmap()
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// glob compares by bytes but for ?, which is one character. It takes at most
// the product of both lengths.
func glob(text, pattern string) bool {
	t, p := []rune(text), []rune(pattern)
	star, from := -1, 0 // the last * and where the text after it is tried
	i, j := 0, 0
	for i < len(t) {
		switch {
		case j < len(p) && p[j] == '*':
			star, from = j, i
			j++
		case j < len(p) && (p[j] == '?' || p[j] == t[i]):
			i++
			j++
		case star >= 0:
			from++
			i, j = from, star+1
		default:
			return false
		}
	}
	for j < len(p) && p[j] == '*' {
		j++
	}
	return j == len(p)
}
