package token

import "fmt"

// header is what a token's header may have (RFC 7515, 4.1).
type header struct{ alg, typ, kid string }

// parseHeader reads a token's header: an object whose members are the strings
// alg, typ and kid, each at most once and not empty. Everything else changes
// what a token means (crit, b64, jku, jwk, x5c, zip, …) or means nothing.
func parseHeader(raw []byte) (header, error) {
	var h header
	s := scanner{b: raw}
	if !s.take('{') {
		return h, errNoObject
	}
	for {
		if err := s.headerMember(&h); err != nil {
			return h, err
		}
		if s.take('}') {
			break
		}
		if !s.take(',') {
			return h, errSyntax
		}
	}
	if s.space(); s.i != len(raw) {
		return h, errTrailing
	}
	return h, nil
}

func (s *scanner) headerMember(h *header) error {
	name, err := s.name()
	if err != nil {
		return err
	}
	var into *string
	switch name {
	case "alg":
		into = &h.alg
	case "typ":
		into = &h.typ
	case "kid":
		into = &h.kid
	default:
		return fmt.Errorf("member %.64q is not allowed", name)
	}
	if *into != "" {
		return fmt.Errorf("%w %q", errDuplicate, name)
	}
	if s.space(); s.peek() != '"' {
		return fmt.Errorf("member %q is not a string", name)
	}
	if *into, err = s.decoded(); err == nil && *into == "" {
		err = fmt.Errorf("member %q is empty", name)
	}
	return err
}
