package authz

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"maps"
	"net/netip"
)

// Grant is the permission to start one session, and how. Only [Policy.Open]
// makes one that starts something.
type Grant struct {
	id         Identity
	source     string
	breakGlass bool
	process    string
	command    bool
	digest     string // of the argv
	exec       Exec
	clientEnv  map[string]string
	terminal   Terminal
	shell      Shell
	starts     bool
}

// Terminal is the terminal that a grant's program gets. The zero one is none:
// the program runs on pipes.
type Terminal struct {
	On         bool
	Term       string // terminal type, for TERM
	Cols, Rows uint16
}

// Starts reports whether a session may be started with the grant: false for the
// zero value and for one from [Policy.Restore].
func (g Grant) Starts() bool { return g.starts }

// Source is the name of the source.
func (g Grant) Source() string { return g.source }

// BreakGlass reports whether the source is for emergencies.
func (g Grant) BreakGlass() bool { return g.breakGlass }

// Identity is who the grant was made for.
func (g Grant) Identity() Identity { return g.id }

// Exec is the decided program and the configured environment. A restored grant
// has neither argv nor environment.
func (g Grant) Exec() Exec { return g.exec.clone() }

// ClientEnv is the client's variables that passed the filter. The configured
// environment wins over them.
func (g Grant) ClientEnv() map[string]string { return maps.Clone(g.clientEnv) }

// Terminal is the terminal of the program.
func (g Grant) Terminal() Terminal { return g.terminal }

// Shell is the settings of the session as the policy that made the grant has them.
func (g Grant) Shell() Shell { return g.shell.clone() }

// Record is what must be known to decide about a running session again. It holds
// no argument, no environment and no secret, and is kept as JSON.
type Record struct {
	Source   string     `json:"source"`
	Key      string     `json:"key"` // opener's key, etcha form
	Subject  string     `json:"subject,omitempty"`
	Addr     netip.Addr `json:"addr"`
	Process  string     `json:"process,omitempty"`
	Command  bool       `json:"command,omitempty"` // the client gave the command
	Digest   string     `json:"digest"`            // of the argv
	User     string     `json:"user"`
	Group    string     `json:"group"`
	Terminal bool       `json:"terminal,omitempty"`
}

// Record gives the grant's record.
func (g Grant) Record() Record {
	return Record{
		Source: g.source, Key: g.id.Key.String(), Subject: g.id.Subject, Addr: g.id.Addr,
		Process: g.process, Command: g.command, Digest: g.digest,
		User: g.exec.User, Group: g.exec.Group, Terminal: g.terminal.On,
	}
}

// digest tells one argv from another without keeping it.
func digest(argv []string) string {
	h := sha256.New()
	for _, a := range argv {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(a)))
		h.Write(n[:])
		h.Write([]byte(a))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}
