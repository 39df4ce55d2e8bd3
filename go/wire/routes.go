package wire

import "net/url"

// Protocol is the version of the protocol; it is raised when something is removed.
const Protocol = 1

// Prefix is the root of every route of the protocol. A configured path prefix
// (a node behind a proxy) stands before it.
const Prefix = "/etcha/v1"

// Routes, without a configured prefix.
const (
	PathNode     = Prefix + "/system/node"
	PathMetrics  = Prefix + "/system/metrics"
	PathSources  = Prefix + "/sources"
	PathSessions = Prefix + "/sessions"

	// PatternShell and PatternSession are the routes as net/http's mux writes them.
	PatternShell   = Prefix + "/shell/{source}"
	PatternSession = Prefix + "/shell/{source}/{session}"
	// PatternSessions is the route of one session without its source.
	PatternSessions = PathSessions + "/{session}"
)

// PathShell is the route that opens sessions of a source.
func PathShell(source string) string {
	return Prefix + "/shell/" + url.PathEscape(source)
}

// PathSession is the route of one session.
func PathSession(source, session string) string {
	return PathShell(source) + "/" + url.PathEscape(session)
}

// PathSessionByID is the route of operations on one session by others than its
// own client: watch, join, kill. The source claim is empty there.
func PathSessionByID(session string) string {
	return PathSessions + "/" + url.PathEscape(session)
}

// Content types.
const (
	TypeJWT         = "application/jwt"
	TypeEventStream = "text/event-stream"
	TypeJSON        = "application/json"
	TypeProblem     = "application/problem+json"
)
