package metrics

import "etcha/go/wire"

// Type is the kind of a metric, as Prometheus calls it.
type Type string

// Kinds of metrics.
const (
	counter   Type = "counter"
	gauge     Type = "gauge"
	histogram Type = "histogram"
)

// Desc describes one metric of this program, for the manual.
type Desc struct {
	Name   string
	Type   Type
	Help   string
	Labels []string
}

// Names of the metrics.
const (
	nameAuditFails  = "etcha_audit_failures_total"
	nameAudit       = "etcha_audit_entries_total"
	nameRecordFails = "etcha_recording_failures_total"
	nameShipFails   = "etcha_ship_failures_total"
	nameShipBehind  = "etcha_ship_backlog_entries"
	nameViews       = "etcha_session_views_total"
	nameBuild       = "etcha_build_info"
	nameKeeper      = "etcha_keeper_up"
	nameLimited     = "etcha_requests_limited_total"
	nameLimiterSize = "etcha_limiter_addresses"
	namePanics      = "etcha_panics_recovered_total"
	nameReplays     = "etcha_replays_refused_total"
	nameRequests    = "etcha_requests_total"
	nameDuration    = "etcha_session_duration_seconds"
	nameInput       = "etcha_session_input_bytes_total"
	nameOldest      = "etcha_session_oldest_age_seconds"
	nameOutput      = "etcha_session_output_bytes_total"
	nameSurvivors   = "etcha_session_survivors_killed_total"
	nameEnded       = "etcha_sessions_ended_total"
	nameRefused     = "etcha_sessions_refused_total"
	nameStarted     = "etcha_sessions_started_total"
	nameShells      = "etcha_sources_shells"
)

// Describe lists every metric of this program, sorted by name. The Go runtime's
// and the process' own (go_…, process_…) come on top.
func Describe() []Desc {
	source := []string{"source"}
	return []Desc{
		{nameAudit, counter, "Entries written to the audit log.", nil},
		{nameAuditFails, counter, "Entries that could not be written to the audit log.", nil},
		{nameBuild, gauge, "Always 1; the version of Etcha and of the Go toolchain that built it.", []string{"version", "goversion"}},
		{nameKeeper, gauge, "1 while the process that holds the sessions answers, else 0.", nil},
		{nameLimiterSize, gauge, "Addresses whose failed requests are being remembered.", nil},
		{namePanics, counter, "Panics that a request handler recovered from. Anything above 0 is a defect.", nil},
		{nameRecordFails, counter, "Recordings of sessions that failed.", source},
		{nameReplays, counter, "Request tokens refused because they had been used before.", nil},
		{nameLimited, counter, "Requests slowed (delayed) or turned away (refused) because too many from their address had failed.", []string{"action"}},
		{nameRequests, counter, "HTTP requests answered, by status.", []string{"code"}},
		{nameDuration, histogram, "Length of ended sessions in seconds.", source},
		{nameInput, counter, "Input bytes that sessions accepted.", source},
		{nameOldest, gauge, "Age of the oldest open session in seconds; 0 without one.", source},
		{nameOutput, counter, "Output bytes sent to clients.", source},
		{nameSurvivors, counter, "Processes that outlived the end of their session's program and had to be killed.", source},
		{nameViews, counter, "Times that somebody watched or joined a session, by role (viewer, joined).", []string{"source", "role"}},
		{nameEnded, counter, "Sessions ended, by reason.", []string{"source", "reason"}},
		{nameRefused, counter, "Requests for a session or inside one that were refused, by reason. The source is empty when it is not a configured one.", []string{"source", "reason"}},
		{nameStarted, counter, "Sessions started.", []string{"source", "break_glass"}},
		{nameShipBehind, gauge, "Audit entries that have not arrived at a destination yet.", []string{"destination"}},
		{nameShipFails, counter, "Failed attempts to send audit entries or recordings away.", []string{"destination"}},
		{nameShells, gauge, "Open shells by source, ID of the opener's key, and address. Ended ones read 0 for five minutes; a series without key and address is always there and 0.", []string{"name", "public_key", "remote_addr"}},
	}
}

// Refusal is why a request was refused: one of the constants here, or a
// [wire.Code] as a string.
type Refusal string

// Refusals before a token was verified. A client is told the same for all of
// them; the difference is for the node's operator only.
const (
	RefusedNoSource  Refusal = "unknown_source"  // no such source
	RefusedNoShell   Refusal = "no_shell"        // the source has no shell
	RefusedToken     Refusal = "bad_token"       // malformed, or not signed by an accepted key
	RefusedAudience  Refusal = "wrong_audience"  // made for another node
	RefusedRoute     Refusal = "wrong_route"     // made for another source, session or purpose
	RefusedNoSession Refusal = "unknown_session" // no such session, or not this key's
)

// Harmless reports whether clients meet such refusals in the ordinary course of
// a session: they are no sign of anybody's ill will.
func (r Refusal) Harmless() bool {
	switch wire.Code(r) {
	case wire.CodeEnded, wire.CodeOffset, wire.CodeDraining, wire.CodeUnready, wire.CodeApproval:
		return true
	}
	return false
}

// other stands for a value outside a bounded set.
const other = "other"

// allRefusals lists every value of the label "reason" of etcha_sessions_refused_total.
func allRefusals() []string {
	return []string{
		string(RefusedNoSource), string(RefusedNoShell), string(RefusedToken), string(RefusedAudience),
		string(RefusedRoute), string(RefusedNoSession),
		string(wire.CodeNotFound), string(wire.CodeBadRequest), string(wire.CodeExpired), string(wire.CodeClockSkew),
		string(wire.CodeDenied), string(wire.CodeApproval), string(wire.CodeReplayed), string(wire.CodeOffset), string(wire.CodeEnded),
		string(wire.CodeTooLarge), string(wire.CodeTimeout), string(wire.CodeLimited), string(wire.CodeInternal),
		string(wire.CodeDraining), string(wire.CodeUnready), other,
	}
}

// allEndReasons lists every value of the label "reason" of etcha_sessions_ended_total.
func allEndReasons() []string {
	return []string{
		string(wire.ReasonExited), string(wire.ReasonClosed), string(wire.ReasonIdle), string(wire.ReasonAge),
		string(wire.ReasonLost), string(wire.ReasonPolicy), string(wire.ReasonStopped), string(wire.ReasonKilled),
		string(wire.ReasonKeeper), string(wire.ReasonRecord), other,
	}
}

// Actions of the limiter of failed requests.
const (
	actionDelayed = "delayed"
	actionRefused = "refused"
)
