package wire

// Code names a refusal; stable, for programs.
type Code string

// Codes of refusals, with the HTTP status each goes with.
const (
	CodeNotFound   Code = "not_found"   // 404; the one answer before a signature has been verified
	CodeBadRequest Code = "bad_request" // 400; verified, but the request makes no sense
	CodeExpired    Code = "expired"     // 401
	CodeClockSkew  Code = "clock_skew"  // 401; the token is from the future
	CodeDenied     Code = "denied"      // 403
	CodeApproval   Code = "approval"    // 403; counter-signatures are missing: Problem.Approval
	CodeReplayed   Code = "replayed"    // 409
	CodeOffset     Code = "offset"      // 409; Problem.Offset is the wanted one
	CodeEnded      Code = "ended"       // 410; a session of this key that has ended
	CodeTooLarge   Code = "too_large"   // 413
	CodeTimeout    Code = "timeout"     // 408
	CodeLimited    Code = "limited"     // 429, with Retry-After
	CodeInternal   Code = "internal"    // 500
	CodeDraining   Code = "draining"    // 503, with Retry-After
	CodeUnready    Code = "unready"     // 503; the replay journal or the keeper is not available
)

// Status is the HTTP status that a code is sent with.
func (c Code) Status() int {
	switch c {
	case CodeNotFound:
		return 404
	case CodeBadRequest:
		return 400
	case CodeExpired, CodeClockSkew:
		return 401
	case CodeDenied, CodeApproval:
		return 403
	case CodeReplayed, CodeOffset:
		return 409
	case CodeEnded:
		return 410
	case CodeTooLarge:
		return 413
	case CodeTimeout:
		return 408
	case CodeLimited:
		return 429
	case CodeDraining, CodeUnready:
		return 503
	default:
		return 500
	}
}

// Retryable reports whether the same content may be sent again with a fresh token.
func (c Code) Retryable() bool {
	return c == CodeExpired || c == CodeClockSkew || c == CodeReplayed
}

// Problem is the body of a refusal (RFC 9457).
type Problem struct {
	Type   string `json:"type,omitempty"` // "about:blank" when empty
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   Code   `json:"code"`
	Detail string `json:"detail,omitempty"` // for people
	Hint   string `json:"hint,omitempty"`   // the way out, for people

	Offset *uint64 `json:"offset,omitempty"` // CodeOffset: the input offset wanted, or the output head
	Room   *uint64 `json:"room,omitempty"`   // CodeOffset: bytes that may be sent beyond Offset
	// Exit is the exit status that a shell gives for the client's program that
	// cannot be started (POSIX, XCU 2.8.2): 127 not found, 126 not executable.
	Exit int   `json:"exit,omitempty"`
	Now  int64 `json:"now,omitempty"` // CodeClockSkew, CodeExpired: the node's clock, Unix seconds

	Approval *ApprovalNeeded `json:"approval,omitempty"` // CodeApproval
}
