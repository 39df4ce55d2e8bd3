package wire

import "time"

// Limits. What lies beyond one is refused, unless its line says otherwise.
const (
	// MaxTokenLife is the longest exp-iat of a request token.
	MaxTokenLife = 5 * time.Second
	// ClockLeeway is how far clocks may differ when iat, nbf and exp are checked.
	ClockLeeway = 1 * time.Second
	// LostJournalWait is how long nothing is accepted after the replay journal
	// was lost: longer than any token that could have been used before.
	LostJournalWait = 7 * time.Second

	// MaxBody bounds a request's body, bytes. A full input chunk as a token is
	// 16/9 of its size.
	MaxBody = 256 << 10
	// MaxHeader bounds a request's header, bytes.
	MaxHeader = 16 << 10
	// MaxInput is the most stdin bytes of one input operation.
	MaxInput = 64 << 10
	// InputWindow is how many input bytes may be accepted or waiting beyond
	// what the program has read.
	InputWindow = 1 << 20
	// MaxInFlight is how many requests of one session a client has under way;
	// one of them is kept for ack, signal and close.
	MaxInFlight = 16
	// MaxNonce bounds the nonce at PathNode, bytes.
	MaxNonce = 128
	// MaxNodeAnswer bounds the answers a client reads that are not streams, bytes.
	MaxNodeAnswer = 64 << 10
	// MaxJTI bounds a token's jti, bytes. It holds at least 128 random bits.
	MaxJTI = 64
	// MinJTI is the length of 128 bits in base64url.
	MinJTI = 22
	// MaxEnv bounds the number of variables a client sends.
	MaxEnv = 128
	// MaxEnvName and MaxEnvValue bound one variable, bytes.
	MaxEnvName  = 128
	MaxEnvValue = 16 << 10
	// MaxArgs bounds the number of arguments a client sends.
	MaxArgs = 1024
	// MaxSubject bounds a token's sub, bytes: it stands in each log line of its session.
	MaxSubject = 256
	// MaxTerm bounds the name of a terminal type, bytes.
	MaxTerm = 64
	// MaxCells bounds the columns and the rows of a terminal: programs allocate
	// a cell for each crossing.
	MaxCells = 4096

	// DefaultWindow is the output bytes kept unacknowledged.
	DefaultWindow = 1 << 20
	// MaxWindow bounds a configured window, bytes.
	MaxWindow = 64 << 20
	// InitialFlight is the output bytes in flight before the path is known.
	InitialFlight = 256 << 10
	// AckEvery is the consumed output bytes after which a client acknowledges.
	AckEvery = 64 << 10
	// DefaultScrollback is the acknowledged output bytes kept for late viewers.
	DefaultScrollback = 256 << 10
	// MaxFrame is the raw bytes of one output event: the stream reader of the
	// client scans its buffer once per event.
	MaxFrame = 8 << 10

	// KeepaliveMax is the longest silence of an event stream.
	KeepaliveMax = 10 * time.Second
	// StreamWrite is how long one write of the event stream may take before
	// the stream counts as lost.
	StreamWrite = 30 * time.Second
	// RequestRead is how long a request's header and body may take.
	RequestRead = 10 * time.Second

	// MaxSessions is the default of sessions per node.
	MaxSessions = 1024
	// MaxSessionsPerKey is the default of sessions per opener's key.
	MaxSessionsPerKey = 64

	// RetryMin and RetryMax bound a client's back-off when it attaches again.
	RetryMin = 250 * time.Millisecond
	RetryMax = 15 * time.Second
	// TokenRetries is how often expired, clock_skew and replayed are tried again.
	TokenRetries = 3

	// HangupGrace is the time between HUP, TERM and KILL when a session is ended.
	HangupGrace = 2 * time.Second
	// DrainGrace is how long output is read after the program ended while
	// something else holds its terminal.
	DrainGrace = 500 * time.Millisecond
	// ShutdownGrace is how long a daemon takes at most to stop.
	ShutdownGrace = 10 * time.Second

	// PadStep is the step that input tokens and the events of echoes are padded
	// to, bytes.
	PadStep = 256
	// Beat is the time between two inputs, and between two events, of a session
	// whose rhythm is hidden by [ObscureInterval].
	Beat = 20 * time.Millisecond
	// DecoyMin and DecoyMax bound how long decoys go on after the last key.
	DecoyMin = 1 * time.Second
	DecoyMax = 3 * time.Second

	// MaxViewers is how many may watch or have joined one session at once.
	MaxViewers = 16
	// MaxApprovals is how many counter-signatures an open may bring.
	MaxApprovals = 8
	// ApprovalLife is the longest exp-iat of a counter-signature.
	ApprovalLife = 10 * time.Minute
)
