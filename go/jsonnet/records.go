package jsonnet

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
)

// Resolver makes an [Options].Lookup of a resolver; nil: [net.DefaultResolver].
func Resolver(r *net.Resolver) func(ctx context.Context, kind, name string) ([]string, error) {
	if r == nil {
		r = net.DefaultResolver
	}
	return func(ctx context.Context, kind, name string) ([]string, error) {
		switch kind {
		case "A":
			return addresses(ctx, r, "ip4", name)
		case "AAAA":
			return addresses(ctx, r, "ip6", name)
		case "CNAME":
			canonical, err := r.LookupCNAME(ctx, name)
			if err != nil {
				return nil, err
			}
			return []string{canonical}, nil
		case "TXT":
			return r.LookupTXT(ctx, name)
		}
		return nil, checkKind(kind)
	}
}

// checkKind is an error for a type of record that getRecord does not know.
func checkKind(kind string) error {
	if kinds := []string{"A", "AAAA", "CNAME", "TXT"}; !slices.Contains(kinds, kind) {
		return fmt.Errorf("type %q: not one of %s", kind, strings.Join(kinds, ", "))
	}
	return nil
}

func addresses(ctx context.Context, r *net.Resolver, network, name string) ([]string, error) {
	found, err := r.LookupNetIP(ctx, network, name)
	if err != nil {
		return nil, err
	}
	out := make([]string, len(found))
	for i, a := range found {
		out[i] = a.Unmap().String()
	}
	return out, nil
}

// getRecord looks a name up; no record is like an error: the fallback counts.
func (n natives) getRecord(args []any) (any, error) {
	kind, err := text("type", args[0])
	if err != nil {
		return nil, err
	}
	name, err := text("name", args[1])
	if err != nil {
		return nil, err
	}
	kind = strings.ToUpper(kind)
	if err := checkKind(kind); err != nil {
		return nil, err
	}
	n.memory.varies()
	if n.o.Lookup == nil {
		return nil, fmt.Errorf("%s %s: names cannot be looked up here", kind, name)
	}
	found, err := n.o.Lookup(n.ctx, kind, name)
	if err != nil {
		return orElse(args[2], fmt.Errorf("%s %s: %w", kind, name, err))
	}
	if len(found) == 0 {
		return orElse(args[2], fmt.Errorf("%s %s: no record", kind, name))
	}
	found = slices.Clone(found)
	slices.Sort(found)
	out := make([]any, len(found))
	for i, s := range found {
		out[i] = s
	}
	return out, nil
}
