package authz

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strconv"

	"etcha/go/errs"
	"etcha/go/shellwords"
	"etcha/go/token"
	"etcha/go/wire"
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
	asked      asked
	terminal   Terminal
	shell      Shell
	approvers  []token.PublicKey
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

// Approvers are the keys whose counter-signatures were used up for it.
func (g Grant) Approvers() []token.PublicKey { return slices.Clone(g.approvers) }

// Source is the name of the source.
func (g Grant) Source() string { return g.source }

// BreakGlass reports whether the source is for emergencies.
func (g Grant) BreakGlass() bool { return g.breakGlass }

// Identity is who the grant was made for.
func (g Grant) Identity() Identity { return g.id }

// Detach reports whether the session was opened to be left.
func (g Grant) Detach() bool { return g.asked.detach }

// Exec is the decided program and the configured environment. A restored grant
// has neither argv nor environment.
func (g Grant) Exec() Exec { return g.exec.clone() }

// ClientEnv is the client's variables that passed the filter. The configured
// environment wins over them. A restored grant has none.
func (g Grant) ClientEnv() map[string]string {
	if !g.starts {
		return nil
	}
	return maps.Clone(g.asked.env)
}

// Terminal is the terminal of the program.
func (g Grant) Terminal() Terminal { return g.terminal }

// Shell is the settings of the session as the policy that made the grant has
// them. ResumeFor of one that was opened to be left is the source's DetachFor.
func (g Grant) Shell() Shell {
	s := g.shell.clone()
	if g.asked.detach {
		s.ResumeFor = s.DetachFor
	}
	return s
}

// Record is what must be known to decide about a running session again, as JSON.
//
// It holds the client's command, arguments and variables, which may hold
// secrets: it lives in the keeper's memory only, is never written to a disk and
// never logged. What may be shown of a session is its Source, Process, Subject
// and Addr. [Record.String] gives no more, so that fmt and slog do not either.
//
// Fields are only added, and a record without those that an older version did
// not know still counts: Whole is false then.
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

	Whole  bool              `json:"whole,omitempty"`  // the fields below are known
	Line   string            `json:"line,omitempty"`   // the client's command line, of which the argv was made
	Args   []string          `json:"args,omitempty"`   // the argv, where there is no Line
	Env    map[string]string `json:"env,omitempty"`    // the client's variables that passed the filter
	Detach bool              `json:"detach,omitempty"` // opened to be left
}

// String names the session's source alone.
func (r Record) String() string { return "record of a session of source " + strconv.Quote(r.Source) }

// GoString is String.
func (r Record) GoString() string { return r.String() }

// Format keeps every verb from the fields.
func (r Record) Format(f fmt.State, _ rune) { fmt.Fprint(f, r.String()) }

// LogValue keeps slog from the fields.
func (r Record) LogValue() slog.Value { return slog.StringValue(r.String()) }

// maxRecord bounds a record, bytes of JSON: the keeper takes 256 KiB with what
// the session adds.
const maxRecord = 240 << 10

// Record gives the grant's record.
func (g Grant) Record() Record {
	r := Record{
		Source: g.source, Key: g.id.Key.String(), Subject: g.id.Subject, Addr: g.id.Addr,
		Process: g.process, Command: g.command, Digest: g.digest,
		User: g.exec.User, Group: g.exec.Group, Terminal: g.terminal.On,
		Whole: g.asked.whole, Line: g.asked.line, Env: maps.Clone(g.asked.env), Detach: g.asked.detach,
	}
	if r.Line == "" {
		r.Args = slices.Clone(g.asked.args)
	}
	return r
}

// fits refuses what is too large to be remembered. Escapes of JSON can make a
// text six times as long.
func (r Record) fits() error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode record: %w", err)
	}
	if len(b) > maxRecord {
		return errs.New(wire.CodeTooLarge, "the command and its variables take %d bytes to remember; the limit is %d", len(b), maxRecord)
	}
	return nil
}

// grant is what the record says, without the settings. It starts nothing.
func (r Record) grant(opener token.PublicKey) (Grant, error) {
	g := Grant{
		id:     Identity{Key: opener, Subject: r.Subject, Addr: r.Addr},
		source: r.Source, process: r.Process, command: r.Command, digest: r.Digest,
		exec:     Exec{User: r.User, Group: r.Group},
		terminal: Terminal{On: r.Terminal},
		asked:    asked{line: r.Line, args: r.Args, env: r.Env, detach: r.Detach, whole: r.Whole},
	}
	if !r.Whole {
		return g, nil
	}
	if r.Line != "" {
		args, err := shellwords.Split(r.Line)
		if err != nil {
			return Grant{}, fmt.Errorf("record of a session of source %q: its command cannot be split", r.Source)
		}
		g.asked.args = args
	}
	if digest(g.asked.args) != r.Digest {
		return Grant{}, fmt.Errorf("record of a session of source %q: its arguments are not those of its digest", r.Source)
	}
	return g, nil
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
