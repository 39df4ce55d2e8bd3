package authz

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"etcha/go/rule"
	"etcha/go/token"
	"etcha/go/wire"
)

// Identity is who asks: the owner of the key that verified.
type Identity struct {
	Key     token.PublicKey
	Subject string // the operator's own label; nothing is decided by it
	Addr    netip.Addr
}

// Exec is a program as the configuration has it.
type Exec struct {
	Argv       []string // empty: the user's login shell
	User       string   // name or number; "": the daemon's
	Group      string   // name or number; "": the user's
	WorkDir    string   // "": the user's home
	Env        map[string]string
	EnvInherit bool // the daemon's environment comes first
}

// Shell is a source's permission to open shells and their settings.
type Shell struct {
	Exec         Exec
	Processes    map[string]Exec
	AcceptEnv    []string // patterns as of path.Match, for names of variables
	AllowCommand bool
	Umask        uint32
	Window       uint64 // bytes; 0: the protocol's default
	Scrollback   uint64 // bytes
	ResumeFor    time.Duration
	IdleTimeout  time.Duration // 0: none
	MaxAge       time.Duration // 0: none
	Discard      bool
	Keep         bool
	MaxSessions  int // 0: no limit of its own

	Rule       *rule.Rule    // must be true for whatever is done; nil: nothing more is asked
	Share      *rule.Rule    // must be true too for another one's session; nil: nobody may
	Require    int           // counter-signatures that an open needs
	DetachFor  time.Duration // 0: no session is opened to be left
	Obscure    wire.Obscure
	Record     string // "output", "full"; empty: nothing
	MustRecord bool   // no recording, no session
}

// Source is what a node offers under a name.
type Source struct {
	Name       string
	BreakGlass bool
	Keys       []token.PublicKey // that may use it
	Shell      *Shell            // nil: no shells
}

// Policy is the rules of a node at one time.
type Policy struct {
	sources map[string]*Source
	labels  map[string]string // of the node, for rules
}

// Context is where and when something is decided.
type Context struct {
	Node string    // node ID
	Now  time.Time // the node's clock
	// Once uses up the ID of a counter-signature until exp. An errs.Error of the
	// code replayed means that it was used before; any other is the node's own
	// trouble. Nil: no counter-signature can be used.
	Once func(id string, exp time.Time) error
	// Used reports whether an ID was used up, so that the others of a request
	// are not used up in vain; nil: not known beforehand.
	Used func(id string) bool
}

// New makes the policy of these sources, whose names differ, on a node with
// these labels.
func New(sources []Source, labels map[string]string) *Policy {
	p := &Policy{sources: make(map[string]*Source, len(sources)), labels: maps.Clone(labels)}
	for _, s := range sources {
		s.Keys = slices.Clone(s.Keys)
		if s.Shell != nil {
			shell := s.Shell.clone()
			s.Shell = &shell
		}
		p.sources[s.Name] = &s
	}
	return p
}

// Keys is the keys that may use a source: those to verify a request with. None
// when there is no such source.
func (p *Policy) Keys(source string) []token.PublicKey {
	s := p.sources[source]
	if s == nil {
		return nil
	}
	return slices.Clone(s.Keys)
}

// HasSource reports whether there is a source of this name.
func (p *Policy) HasSource(source string) bool { return p.sources[source] != nil }

// HasShell reports whether there is a source of this name that has a shell.
func (p *Policy) HasShell(source string) bool {
	s := p.sources[source]
	return s != nil && s.Shell != nil
}

func (e Exec) clone() Exec {
	e.Argv, e.Env = slices.Clone(e.Argv), maps.Clone(e.Env)
	return e
}

func (s *Shell) clone() Shell {
	c := *s
	c.Exec = s.Exec.clone()
	c.AcceptEnv = slices.Clone(s.AcceptEnv)
	if s.Processes != nil {
		c.Processes = make(map[string]Exec, len(s.Processes))
		for name, e := range s.Processes {
			c.Processes[name] = e.clone()
		}
	}
	return c
}
