package server

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"etcha/go/token"
	"etcha/go/wire"
)

// A key that is taken away while its request is on its way is not accepted any
// more, however slowly that comes.
func TestKeyIsTakenAwayMeanwhile(t *testing.T) {
	l := newLone(t)
	present := l.settings.Load()
	conf := *l.conf
	conf.Run.VerifyKeys = []string{newPrivate(t, token.KindEd25519, "carol").Public().String()}
	fresh, err := newSettings(&conf)
	if err != nil {
		t.Fatal(err)
	}
	send := func(now *settings) int {
		l.settings.Store(present)
		body := io.MultiReader(strings.NewReader(l.token("debug", wire.Shell{Op: wire.OpOpen}, nil)), readerFunc(func([]byte) (int, error) {
			l.settings.Store(now)
			return 0, io.EOF
		}))
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://node.example.com"+wire.PathShell("debug"), body)
		if err != nil {
			t.Fatal(err)
		}
		r.RemoteAddr = "192.0.2.7:1000"
		r.Header.Set("Content-Type", wire.TypeJWT)
		m := newMemory()
		l.ServeHTTP(m, r)
		return m.status
	}
	if got := send(present); got != wire.CodeUnready.Status() { // there is no keeper
		t.Errorf("the key is there: %d", got)
	}
	if got := send(fresh); got != http.StatusNotFound {
		t.Errorf("the key was taken away: %d", got)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
