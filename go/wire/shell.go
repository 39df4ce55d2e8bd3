package wire

// Op is the operation of a request.
type Op string

// Operations. Open, attach, watch and join are answered by an event stream.
const (
	OpOpen   Op = "open"
	OpAttach Op = "attach"
	OpInput  Op = "input"
	OpResize Op = "resize"
	OpSignal Op = "signal"
	OpAck    Op = "ack"
	OpClose  Op = "close"
)

// Operations beside the sessions' own routes: see [PathSessions] and [PathSources].
const (
	OpList    Op = "list"    // the sessions of the node; live, where the client accepts an event stream
	OpWatch   Op = "watch"   // a session's output
	OpJoin    Op = "join"    // a session's output, and typing into it
	OpKill    Op = "kill"    // end a session
	OpSources Op = "sources" // what the key may use
)

// Shell is the etchaShell claim: an operation and its arguments.
type Shell struct {
	Op Op `json:"op"`

	// Open.
	Cols    uint16            `json:"cols,omitempty"` // also resize, attach
	Rows    uint16            `json:"rows,omitempty"` // also resize, attach
	Term    string            `json:"term,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
	Command string            `json:"command,omitempty"` // replaces the source's shell, where allowed
	Args    []string          `json:"args,omitempty"`    // the program and its arguments, run directly; excludes Command
	PTY     bool              `json:"pty,omitempty"`
	Process string            `json:"process,omitempty"`
	Title   string            `json:"title,omitempty"`
	Detach  bool              `json:"detach,omitempty"` // outlives its client for the source's detachFor

	// Input: Data's first byte is at Offset of the session's input. Attach:
	// Offset is the output offset to go on from.
	Offset uint64 `json:"offset,omitempty"`
	Data   []byte `json:"data,omitempty"` // standard base64 in JSON
	EOF    bool   `json:"eof,omitempty"`  // closes stdin after Data; sessions without a PTY
	// Decoy marks an input without data that hides when somebody types: it draws
	// an event of an echo's size, where the session's [Obscure] says so, and is
	// neither input nor activity. Offset counts for nothing.
	Decoy bool `json:"decoy,omitempty"`

	// Resize, signal, close.
	Seq    uint64 `json:"seq,omitempty"`
	Signal string `json:"signal,omitempty"` // one of Signals, without "SIG"

	// Ack is the number of output bytes consumed; any operation in a session.
	Ack uint64 `json:"ack,omitempty"`
}

// Signals are the names that a signal operation may carry.
var signals = [...]string{"INT", "TERM", "HUP", "QUIT", "KILL", "USR1", "USR2", "WINCH", "TSTP", "CONT"}

// KnownSignal reports whether name may be sent with [OpSignal].
func KnownSignal(name string) bool {
	for _, s := range signals {
		if s == name {
			return true
		}
	}
	return false
}

// Signals lists the names that a signal operation may carry.
func Signals() []string { return append([]string(nil), signals[:]...) }

// Answer is the body of the answer to an operation inside a session.
type Answer struct {
	Offset uint64 `json:"offset"` // input bytes accepted so far
	Room   uint64 `json:"room"`   // input bytes that may be sent beyond Offset
	Seq    uint64 `json:"seq"`    // last control operation applied
	// Pad makes all answers to input equally long; its content is ignored.
	Pad string `json:"pad,omitempty"`
}

// Event names of a session's stream.
const (
	EventSession   = "session"   // Session as JSON; first, always
	EventOutput    = "output"    // base64 of output bytes; id: offset after them
	EventStderr    = "stderr"    // the same for stderr of a session without a PTY; one count over both
	EventInput     = "input"     // InputState as JSON, when room returns
	EventKeepalive = "keepalive" // random text of random length
	EventNotice    = "notice"    // Notice as JSON
	EventReplaced  = "replaced"  // another attach took the stream over; last
	EventGap       = "gap"       // Gap as JSON: output that a viewer was too slow for
	EventResize    = "resize"    // Size as JSON, for viewers: the terminal has another size
	EventExit      = "exit"      // Exit as JSON; last, after all output
)

// Session is the data of the first event of a stream.
type Session struct {
	Session     string  `json:"session"` // session ID
	Node        string  `json:"node"`    // node ID
	Source      string  `json:"source"`
	User        string  `json:"user"`        // the user that the program runs as
	Started     int64   `json:"started"`     // Unix milliseconds
	Window      uint64  `json:"window"`      // bytes of output the node keeps unacknowledged
	OutputStart uint64  `json:"outputStart"` // offset of the first output byte that follows
	InputOffset uint64  `json:"inputOffset"` // input bytes accepted so far
	Seq         uint64  `json:"seq"`         // last control operation applied
	ResumeFor   float64 `json:"resumeFor"`   // seconds that the session outlives its client
	IdleTimeout float64 `json:"idleTimeout"` // seconds; 0: none
	EndsAt      int64   `json:"endsAt"`      // Unix milliseconds of the latest end; 0: none
	Dropped     uint64  `json:"dropped"`     // output bytes lost before OutputStart (detached: discard)
	Proof       string  `json:"proof"`       // a JWT of type TypeProof over ProofClaims

	Role      Role    `json:"role,omitempty"`      // of whom the stream is for; empty: the owner
	Cols      uint16  `json:"cols,omitempty"`      // the terminal's size
	Rows      uint16  `json:"rows,omitempty"`      // the terminal's size
	Obscure   Obscure `json:"obscure,omitempty"`   // how the rhythm of typing is hidden; empty: not
	Recording string  `json:"recording,omitempty"` // what is recorded: "output", "full"; empty: nothing
	Detach    bool    `json:"detach,omitempty"`    // opened to be left: ResumeFor is the source's detachFor
}

// Role is what somebody is in a session.
type Role string

// Roles. Only the owner's acknowledgements count.
const (
	RoleOwner  Role = "owner"
	RoleJoined Role = "joined"
	RoleViewer Role = "viewer"
)

// Obscure is how the rhythm of typing is hidden from who watches the link.
type Obscure string

// Ways of hiding, for a session on a terminal. In both, small requests are equally
// long, so are answers, and what the stream sends at once is a multiple of
// [PadStep]. Chaff: keys leave at once, decoys between them, each of which draws
// an event. Interval: input leaves on the beat of [Beat] only, one request on each
// with what has gathered or a decoy, and while such come the node sends on a beat
// of its own, what there is or a decoy; it answers after a fixed time.
const (
	ObscureOff      Obscure = "off"
	ObscureChaff    Obscure = "chaff"
	ObscureInterval Obscure = "interval"
)

// Gap is the data of a gap event.
type Gap struct {
	From uint64 `json:"from"` // offset of the first byte that is missing
	To   uint64 `json:"to"`   // offset of the next byte that follows
}

// Size is the data of a resize event.
type Size struct {
	Cols uint16 `json:"cols"`
	Rows uint16 `json:"rows"`
}

// InputState is the data of an input event.
type InputState struct {
	Offset uint64 `json:"offset"` // input bytes written to the program so far
	Room   uint64 `json:"room"`   // input bytes that may be sent beyond what was accepted
}

// Notice is the data of a notice event.
type Notice struct {
	Code    NoticeCode `json:"code"`
	Message string     `json:"message"` // for people
}

// NoticeCode says what a notice is about.
type NoticeCode string

// Notices.
const (
	NoticeIdle       NoticeCode = "idle"       // the idle timeout is near
	NoticeAge        NoticeCode = "age"        // the longest life is near
	NoticePolicy     NoticeCode = "policy"     // the configuration no longer permits the session
	NoticeRestarting NoticeCode = "restarting" // the daemon restarts; the session goes on
	NoticeStopping   NoticeCode = "stopping"   // the node stops; the session ends
	NoticeWatched    NoticeCode = "watched"    // somebody watches or joined the session, or has left it
	NoticeRecording  NoticeCode = "recording"  // the session is recorded, or not any more
	NoticeKilled     NoticeCode = "killed"     // an operator ends the session
)

// Exit is the data of the last event of a session.
type Exit struct {
	Code   int        `json:"code"`             // exit status; 128+n when ended by signal n
	Signal string     `json:"signal,omitempty"` // name without "SIG" of the signal that ended the program
	Reason ExitReason `json:"reason"`
}

// ExitReason says why a session ended.
type ExitReason string

// Reasons of an end.
const (
	ReasonExited  ExitReason = "exited"  // the program ended by itself
	ReasonClosed  ExitReason = "closed"  // the client closed it
	ReasonIdle    ExitReason = "idle"    // idle timeout
	ReasonAge     ExitReason = "age"     // longest life
	ReasonLost    ExitReason = "lost"    // the client was away for longer than resumeFor
	ReasonPolicy  ExitReason = "policy"  // no longer permitted
	ReasonStopped ExitReason = "stopped" // the node was stopped
	ReasonKilled  ExitReason = "killed"  // an operator ended it
	ReasonKeeper  ExitReason = "keeper"  // the process that held the session died
	ReasonRecord  ExitReason = "record"  // it could not be recorded, and has to be
)
