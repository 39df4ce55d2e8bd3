package server

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"etcha/go/audit"
	"etcha/go/session"
	"etcha/go/wire"
)

func TestRunning(t *testing.T) {
	path := filepath.Join(t.TempDir(), "running")
	open := func() *running {
		t.Helper()
		r, err := openRunning(path)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	r := open()
	for _, id := range []string{"a", "b", "c"} {
		if err := r.happened(session.Happening{Kind: session.Opened, Info: wire.SessionInfo{Session: id, Source: "debug", User: "u"}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.happened(session.Happening{Kind: session.Ended, Info: wire.SessionInfo{Session: "b"}}); err != nil {
		t.Fatal(err)
	}
	r = open()
	ends, err := r.lost(func(id string) bool { return id == "a" })
	if err != nil || len(ends) != 1 || ends[0].Session != "c" || ends[0].Source != "debug" || ends[0].Event != audit.Ended {
		t.Errorf("%+v, %v", ends, err)
	}
	if ends, err := open().lost(func(id string) bool { return id == "a" }); err != nil || ends != nil {
		t.Errorf("told again: %+v, %v", ends, err)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := openRunning(path); err == nil || len(r.sessions) != 0 {
		t.Errorf("a damaged file: %+v, %v", r, err)
	}
}

// Sessions that died with their keeper while no daemon was there have an end in
// the audit log all the same.
func TestEndOfWhatDiedUnseen(t *testing.T) {
	n := newNode(t)
	s := n.cat(n.alice, "debug")
	id := s.info.Session
	n.restartWith(n.killKeeper)
	eventually(t, "its end to be written down", func() bool {
		events, _ := n.entries(id)
		return slices.Contains(events, audit.Ended)
	})
}
