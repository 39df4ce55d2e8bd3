package server

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"math/big"
	"strconv"
	"strings"

	"etcha/go/authz"
	"etcha/go/token"
)

// kindSession is the kind of a session's own key.
const kindSession = "ed25519"

// candidates are the keys that a token may be signed by, for each source, and
// decoys that make every list equally long for each kind of key. What fails
// then fails after the same number of checks, whether the source exists or not.
type candidates struct {
	sources map[string][]token.PublicKey
	nobody  []token.PublicKey // of a source that does not exist, or has no shell
	all     []token.PublicKey // of any source
	inside  map[string]int    // keys of a kind in the lists of sessions
	decoys  map[string]token.PublicKey
}

// newCandidates makes the lists of the sources that have a shell.
func newCandidates(sources []authz.Source) (*candidates, error) {
	c := &candidates{sources: map[string][]token.PublicKey{}, decoys: map[string]token.PublicKey{}}
	most := map[string]int{}
	for _, s := range sources {
		if s.Shell == nil {
			continue
		}
		for kind, n := range count(s.Keys) {
			most[kind] = max(most[kind], n)
		}
	}
	most[kindSession] = max(most[kindSession], 1)
	for kind := range most {
		decoy, err := newDecoy(kind)
		if err != nil {
			return nil, fmt.Errorf("make a decoy key of kind %s: %w", kind, err)
		}
		c.decoys[kind] = decoy
	}
	for _, s := range sources {
		if s.Shell != nil {
			c.sources[s.Name] = c.pad(s.Keys, most)
		}
	}
	c.nobody = c.pad(nil, most)
	c.inside = map[string]int{}
	for kind, n := range most {
		c.inside[kind] = n + 1 // an opener's that the source accepts no more
	}
	c.inside[kindSession]++ // the session's own
	for _, s := range sources {
		if s.Shell != nil {
			c.all = union(c.all, s.Keys)
		}
	}
	return c, nil
}

// open is the list for a request that opens a session of a source.
func (c *candidates) open(source string) []token.PublicKey {
	if keys, ok := c.sources[source]; ok {
		return keys
	}
	return c.nobody
}

// any is the list for a request that does not belong to one source.
func (c *candidates) any() []token.PublicKey { return c.all }

// session is the list for a request inside a session; no keys for one that
// does not exist.
func (c *candidates) session(keys ...token.PublicKey) []token.PublicKey {
	return c.pad(keys, c.inside)
}

func count(keys []token.PublicKey) map[string]int {
	n := map[string]int{}
	for _, k := range keys {
		n[k.Kind()]++
	}
	return n
}

// pad fills a list with decoys up to as many of each kind.
func (c *candidates) pad(keys []token.PublicKey, most map[string]int) []token.PublicKey {
	have := count(keys)
	padded := append([]token.PublicKey(nil), keys...)
	for kind, n := range most {
		for range n - have[kind] {
			padded = append(padded, c.decoys[kind])
		}
	}
	return padded
}

// newDecoy makes a public key whose private half nobody has.
func newDecoy(kind string) (token.PublicKey, error) {
	size, ok := strings.CutPrefix(kind, "rsa")
	if !ok {
		k, err := token.Generate(kind, "")
		return k.Public(), err
	}
	bits, err := strconv.Atoi(size)
	if err != nil {
		return token.PublicKey{}, err
	}
	// Two primes would take seconds to find, and only serve to sign.
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), uint(bits)))
	if err != nil {
		return token.PublicKey{}, err
	}
	n.SetBit(n, bits-1, 1).SetBit(n, 0, 1)
	const exponent = 65537
	der, err := x509.MarshalPKIXPublicKey(&rsa.PublicKey{N: n, E: exponent})
	if err != nil {
		return token.PublicKey{}, err
	}
	return token.ParsePublic(kind + "public:" + base64.StdEncoding.EncodeToString(der))
}
