package server

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"sync"

	"etcha/go/audit"
	"etcha/go/session"
	"etcha/go/wire"
)

// running is the sessions whose end the audit log does not have yet, in a file:
// those that die with their keeper or with the machine are not seen to end, and
// the next daemon writes it down. The file is replaced whole and not synced:
// after a power cut an end may be missing, never wrong.
type running struct {
	path string

	mu       sync.Mutex
	sessions map[string]audit.Entry // what is said of each; by ID
}

// openRunning reads the file; one that cannot be read is as good as none.
func openRunning(path string) (*running, error) {
	r := &running{path: path, sessions: map[string]audit.Entry{}}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &r.sessions)
	}
	if err != nil || r.sessions == nil {
		r.sessions = map[string]audit.Entry{}
	}
	return r, err
}

// happened takes in what happened to a session.
func (r *running) happened(h session.Happening) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := h.Info.Session
	switch h.Kind {
	case session.Opened:
		r.sessions[id] = audit.Entry{Session: id, Source: h.Info.Source, User: h.Info.User}
	case session.Ended:
		delete(r.sessions, id)
	default:
		return nil
	}
	return r.save()
}

// lost takes out the sessions that are not live any more and gives the entries of
// their ends.
func (r *running) lost(live func(session string) bool) ([]audit.Entry, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var ends []audit.Entry
	for id, e := range r.sessions {
		if !live(id) {
			e.Event, e.Reason = audit.Ended, string(wire.ReasonKeeper)
			ends = append(ends, e)
			delete(r.sessions, id)
		}
	}
	if len(ends) == 0 {
		return nil, nil
	}
	return ends, r.save()
}

// save replaces the file. The caller holds mu.
func (r *running) save() error {
	b, err := json.Marshal(r.sessions)
	if err != nil {
		return err
	}
	next := r.path + ".new"
	if err := os.WriteFile(next, b, 0o600); err != nil {
		return err
	}
	return os.Rename(next, r.path)
}
