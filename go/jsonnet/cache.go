package jsonnet

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"hash"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Bounds of a [Cache]. The result used longest ago goes first.
const (
	// MaxCached is how many results are kept.
	MaxCached = 64
	// MaxCachedBytes bounds the sum of their JSON and their files, bytes.
	MaxCachedBytes = 128 << 20
)

// Cache keeps results of evaluations by all that they depend on: the first file
// and its text, the options, the content of each file that was read, that those
// looked for in vain are still missing, and each variable of the environment
// that was asked for. A result that depends on more is never kept: commands, URLs,
// name look-ups, randomness, tokens. Options that are functions do not count
// therefore, std.trace prints nothing for a kept result.
//
// The zero value is empty and ready. It is safe for concurrent use and holds its
// content in memory only: results have secrets in them.
type Cache struct {
	mu      sync.Mutex
	entries []*cached // the one used last is last
	bytes   int
}

type cached struct {
	key     [sha256.Size]byte
	result  *Result
	environ map[string]*string
	size    int
}

// key hashes what is known before an evaluation.
func (c *Cache) key(path, text string, o Options) [sha256.Size]byte {
	h := sha256.New()
	put := func(parts ...string) {
		for _, p := range parts {
			putString(h, p)
		}
	}
	if abs, err := filepath.Abs(path); err == nil {
		put(abs) // what a relative path means may change
	}
	put(path, text, string(o.Config), o.Root)
	putMap(h, o.Files)
	kept := make(map[string]string, len(o.Kept))
	for k, v := range o.Kept {
		kept[k] = string(v)
	}
	putMap(h, kept)
	return [sha256.Size]byte(h.Sum(nil))
}

func putMap(h hash.Hash, m map[string]string) {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	var n [9]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(m)))
	if m != nil {
		n[8] = 1
	}
	h.Write(n[:])
	for _, name := range names {
		putString(h, name)
		putString(h, m[name])
	}
}

// putString hashes a string so that where it ends counts.
func putString(h hash.Hash, s string) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(s)))
	h.Write(n[:])
	h.Write([]byte(s))
}

// find is the result for key, when nothing that it depends on has changed.
func (c *Cache) find(key [sha256.Size]byte, environ []string) *Result {
	c.mu.Lock()
	i := slices.IndexFunc(c.entries, func(e *cached) bool { return e.key == key })
	if i < 0 {
		c.mu.Unlock()
		return nil
	}
	e := c.entries[i]
	c.entries = append(slices.Delete(c.entries, i, i+1), e)
	c.mu.Unlock()
	if e.stale(environ) {
		c.remove(e)
		return nil
	}
	return e.result.clone()
}

func (e *cached) stale(environ []string) bool {
	for key, was := range e.environ {
		is := lookup(environ, key)
		if (is == nil) != (was == nil) || is != nil && *is != *was {
			return true
		}
	}
	return slices.ContainsFunc(e.result.Files, File.Changed)
}

func (c *Cache) remove(e *cached) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.entries, e); i >= 0 {
		c.entries = slices.Delete(c.entries, i, i+1)
		c.bytes -= e.size
	}
}

// add keeps a result when another evaluation must give the same.
func (c *Cache) add(key [sha256.Size]byte, r *Result, environ []string, size int, m *memory) {
	m.mu.Lock()
	varied := m.varied
	asked := make(map[string]*string, len(m.asked))
	for name := range m.asked {
		asked[name] = lookup(environ, name)
	}
	m.mu.Unlock()
	if varied || slices.ContainsFunc(r.Files, func(f File) bool { return f.Stream }) {
		return
	}
	e := &cached{key: key, result: r.clone(), environ: asked, size: len(r.JSON) + size}
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.IndexFunc(c.entries, func(o *cached) bool { return o.key == key }); i >= 0 {
		c.bytes -= c.entries[i].size
		c.entries = slices.Delete(c.entries, i, i+1)
	}
	c.entries = append(c.entries, e)
	c.bytes += e.size
	for len(c.entries) > MaxCached || c.bytes > MaxCachedBytes && len(c.entries) > 0 {
		c.bytes -= c.entries[0].size
		c.entries = slices.Delete(c.entries, 0, 1)
	}
}

// clone is a result whose parts a caller may change.
func (r *Result) clone() *Result {
	out := *r
	out.JSON = bytes.Clone(r.JSON)
	out.Files = slices.Clone(r.Files)
	out.Kept = make(map[string]json.RawMessage, len(r.Kept))
	for k, v := range r.Kept {
		out.Kept[k] = bytes.Clone(v)
	}
	return &out
}

// lookup is a variable's value; the last of a name counts.
func lookup(environ []string, key string) *string {
	for i := len(environ) - 1; i >= 0; i-- {
		if name, value, ok := strings.Cut(environ[i], "="); ok && name == key {
			return &value
		}
	}
	return nil
}
