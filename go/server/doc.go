// Package server is the node: the listener, the order of the checks that a
// request passes, the control socket, and the life of the daemon from start to
// end. [Run] is all of it.
//
// # What it owns
//
// The state folder (its lock, the self-signed certificate, the control socket),
// the TLS configuration, the HTTP server, the limits on who has not shown a
// valid token yet, and the configuration that is in force. Sessions are
// go/session's, their processes the keeper's, decisions go/authz's.
//
// # A request
//
// The order is the same for each: recover, log, bound, host, verify, check
// replay, authorise, act. A body is read whole within its size and time before
// anything looks at it. Until a signature has been verified each refusal on
// every path is the same answer, byte for byte, after the same number of
// signature checks: decoy keys make the lists of all sources equally long. Only
// what cannot depend on the source (a body too large or too slow, a full lane)
// differs. The true reason is in the log and in the metrics. After that, a
// refusal says what is missing.
//
// # Limits before a token
//
// Connections without a valid token, and requests whose body is being read, are
// each a crowd: a newcomer always gets in, and when it is full the oldest of the
// address with the most is put out. An address whose requests fail too often is
// not refused but shares a slow lane. See crowd, limiter.
//
// A stream ends when one of its writes takes too long, or when its peer has
// acknowledged nothing for as long; a client that is merely stopped is neither,
// while what is on its way to it fits the buffers.
//
// # Host and browsers
//
// Tokens are never ambient, so a hostile page cannot act, and other programs
// may call the node by any name: an alias, a proxy's, an address. The Host
// header is therefore compared with the node's names only in requests that a
// browser sends (Origin, Sec-Fetch-Site), which also must not be cross-site.
//
// # Start and end
//
// The whole configuration is checked before anything is made, and the port is
// bound before a keeper is started; connections wait in the kernel until the
// sessions are found again. A failed start leaves nothing behind but what a
// later one uses: state folder, identity, certificate. When its context ends,
// the node leaves its sessions to the keeper; told to stop through the control
// socket, it ends them and the keeper too. When the keeper dies, its sessions
// are told, and another keeper is found or started.
//
// # Goroutines
//
// Run's own goroutine owns the node. It starts one that serves HTTP and one for
// the control socket, and at the end one that waits for the last answers; all
// have ended when Run returns. A reload swaps what requests share (settings, TLS state, sessions)
// whole; a request sees one of each from its beginning to its end.
package server
