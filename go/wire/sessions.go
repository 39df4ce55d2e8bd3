package wire

// SessionInfo is what the list of sessions says about one. It holds no argument
// and no environment.
type SessionInfo struct {
	Session  string       `json:"session"`
	Source   string       `json:"source"`
	Process  string       `json:"process,omitempty"`
	Title    string       `json:"title,omitempty"` // the opener's own label
	User     string       `json:"user"`            // account that the program runs as
	Key      string       `json:"key"`             // ID or thumbprint of the opener's key
	Subject  string       `json:"subject,omitempty"`
	Addr     string       `json:"addr,omitempty"` // the opener's address
	Own      bool         `json:"own,omitempty"`  // in a list: opened by the key that asks
	Started  int64        `json:"started"`        // Unix milliseconds
	State    SessionState `json:"state"`
	Since    int64        `json:"since,omitempty"`  // Unix milliseconds: in State since
	Active   int64        `json:"active,omitempty"` // Unix milliseconds of the last input or output
	EndsAt   int64        `json:"endsAt,omitempty"` // Unix milliseconds of the latest end; 0: none
	Terminal bool         `json:"terminal,omitempty"`
	// Recording is what is recorded: "output", "full"; empty: nothing.
	Recording  string   `json:"recording,omitempty"`
	BreakGlass bool     `json:"breakGlass,omitempty"`
	Members    []Member `json:"members,omitempty"` // who watches or has joined
	Exit       *Exit    `json:"exit,omitempty"`    // SessionEnded
	// Input and Output are bytes so far.
	Input  uint64 `json:"input"`
	Output uint64 `json:"output"`
}

// SessionState says whether somebody is attached.
type SessionState string

// States of a session.
const (
	SessionAttached SessionState = "attached"
	SessionDetached SessionState = "detached"
	SessionEnded    SessionState = "ended"
)

// Member is somebody who watches a session or has joined it.
type Member struct {
	Role    Role   `json:"role"`
	Key     string `json:"key"` // ID or thumbprint
	Subject string `json:"subject,omitempty"`
	Addr    string `json:"addr,omitempty"`
	Since   int64  `json:"since"` // Unix milliseconds
}

// SessionList is the body of the answer to list, and the data of the first event
// of the live one.
type SessionList struct {
	Node     string        `json:"node"` // node ID
	Sessions []SessionInfo `json:"sessions"`
}

// Events of the live list. A reader that falls behind is disconnected and asks
// again.
const (
	EventSessions = "sessions" // SessionList as JSON; first
	EventChanged  = "changed"  // SessionInfo as JSON: opened, or something of it changed
	EventEnded    = "ended"    // SessionInfo as JSON; the last about a session
)

// SourceList is the body of the answer at [PathSources].
type SourceList struct {
	Node    string       `json:"node"` // node ID
	Sources []SourceInfo `json:"sources"`
}

// SourceInfo is what a key may use a source for.
type SourceInfo struct {
	Source     string   `json:"source"`
	Shell      bool     `json:"shell,omitempty"`
	Processes  []string `json:"processes,omitempty"`
	Command    bool     `json:"command,omitempty"` // a command may be given
	Detach     bool     `json:"detach,omitempty"`
	Recording  string   `json:"recording,omitempty"` // "output", "full"; empty: none
	Obscure    Obscure  `json:"obscure,omitempty"`
	Require    int      `json:"require,omitempty"` // counter-signatures that an open needs
	BreakGlass bool     `json:"breakGlass,omitempty"`
	// Denied is why the key may not open a shell now, for people; empty: it may.
	Denied string `json:"denied,omitempty"`
}
