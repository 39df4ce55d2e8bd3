package server

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	mrand "math/rand/v2"
	"net/http"
	"sync"
	"testing"

	"etcha/go/token"
	"etcha/go/wire"
)

// However requests are repeated, reordered, cut, overlapped and held up, the
// program reads exactly what was typed.
func TestInputIsAppliedOnce(t *testing.T) {
	n := newNode(t)
	for round := range 3 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			typed := make([]byte, 40_000)
			_, _ = rand.Read(typed)
			confirm, own, err := token.NewConfirm()
			if err != nil {
				t.Fatal(err)
			}
			c := n.claims("debug", "", wire.Shell{Op: wire.OpOpen, Command: "/bin/cat"})
			c.Confirm = &own
			s := n.begin(n.h2, confirm, wire.PathShell("debug"), n.sign(n.alice, c))
			got := make(chan []byte, 1)
			go func() { got <- s.collect(len(typed)) }()

			posts := s.mangled(typed)
			var wg sync.WaitGroup
			for w := range 8 {
				wg.Go(func() {
					client := n.h2
					if w%2 == 0 {
						client = n.h1
					}
					for i := w; i < len(posts); i += 8 {
						a := n.send(client, http.MethodPost, s.path(), wire.TypeJWT, posts[i])
						if a.status != http.StatusOK {
							t.Errorf("%d %s", a.status, a.body)
						}
					}
				})
			}
			wg.Wait()
			if out := <-got; !bytes.Equal(out, typed) {
				t.Errorf("the program read %d bytes, which are not the %d typed", len(out), len(typed))
			}
			s.finish()
		})
	}
}

// mangled is requests that together carry what was typed, each byte at least
// once, in an order and with repeats of their own. Some are the same bytes again,
// some the same input under a new signature, some cut elsewhere.
func (s *stream) mangled(typed []byte) []string {
	var posts []string
	add := func(from, to int) {
		tok := s.n.sign(s.key, s.n.claims(s.source, s.info.Session, wire.Shell{
			Op: wire.OpInput, Offset: uint64(from), Data: typed[from:to],
		}))
		posts = append(posts, tok)
		if mrand.IntN(3) == 0 {
			posts = append(posts, tok)
		}
	}
	for from := 0; from < len(typed); {
		to := min(len(typed), from+1+mrand.IntN(2000))
		add(from, to)
		if mrand.IntN(3) == 0 {
			add(from, to)
		}
		if mrand.IntN(3) == 0 {
			back := mrand.IntN(from + 1)
			add(back, min(len(typed), back+1+mrand.IntN(3000)))
		}
		from = to
	}
	mrand.Shuffle(len(posts), func(i, j int) {
		// Not all at the end at once, as on a bad network: neighbours change places.
		if d := i - j; d < 12 && d > -12 {
			posts[i], posts[j] = posts[j], posts[i]
		}
	})
	return posts
}

// collect reads output until there are so many bytes of it.
func (s *stream) collect(size int) []byte {
	var out []byte
	for len(out) < size {
		e, err := s.events.Next()
		if err != nil {
			return out
		}
		if e.Name != wire.EventOutput {
			continue
		}
		p, err := base64.StdEncoding.DecodeString(string(e.Data))
		if err != nil {
			return out
		}
		out = append(out, p...)
		// What was consumed is acknowledged, as a client does.
		tok, err := s.key.Sign(wire.TypeRequest, s.n.claims(s.source, s.info.Session, wire.Shell{Op: wire.OpAck, Ack: e.ID}))
		if err != nil {
			return out
		}
		if _, err := s.n.try(s.n.h2, http.MethodPost, s.path(), wire.TypeJWT, bytes.NewReader([]byte(tok))); err != nil {
			return out
		}
	}
	return out
}
