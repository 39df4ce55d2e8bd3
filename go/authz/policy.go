package authz

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"etcha/go/token"
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
}

// Source is what a node offers under a name.
type Source struct {
	Name       string
	BreakGlass bool
	Keys       []token.PublicKey // that may use it
	Shell      *Shell            // nil: no shells
}

// Policy is the rules of a node at one time.
type Policy struct{ sources map[string]*Source }

// New makes the policy of these sources, whose names differ.
func New(sources []Source) *Policy {
	p := &Policy{sources: make(map[string]*Source, len(sources))}
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
