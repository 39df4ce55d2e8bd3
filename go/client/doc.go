// Package client opens sessions on a node over HTTP: it signs requests, checks
// who answers, reads the event stream and sends input.
//
// It owns the client's side of the protocol in package wire: the pin of a
// node's identity and of its TLS key (known.go, trust.go), the node's signed
// word about itself and the correction of the clock (node.go), tokens padded to
// steps (sign.go), connections (connection.go, link.go, pulse.go), the stream
// (stream.go), input (input.go, outage.go, send.go: the one place that sends it),
// control operations and acknowledgements (control.go), the rhythm of typing
// (rhythm.go), going on after a loss
// (resume.go), leaving (leave.go), other people's sessions (members.go), lists
// (sessions.go) and counter-signatures (approve.go). It shows nothing and asks
// nobody: what a person should know goes to Options.Notify.
//
// It refuses a node whose identity is not the pinned one, a TLS key that is
// neither the node's, nor the one seen at first use, nor vouched for by a
// certificate authority, an answer without its proof, and output that does not
// follow on what came before.
//
// # Invariants
//
//   - A token is made for the pinned node, never for one that was just heard of,
//     except at first use, and is signed at the moment it is sent.
//   - No input leaves before the proof over this very open request was checked.
//   - Each byte of input is kept until an answer covers it, and is sent again
//     under the same offset; the node applies it once.
//   - Output is written in order and counted as consumed afterwards. Only what is
//     consumed is acknowledged.
//   - Everything that is read is bounded: answers, events, the file of known
//     nodes. Text from the network is made printable before it is passed on.
//   - Tokens, input, output and the environment are never logged.
//
// # A session and its links
//
// A session outlives its connections. A link is one event stream with the requests
// beside it; a session has one at a time. A link ends when its stream does without
// an exit, when the stream is silent for longer than a node ever is, or when a small
// request has no answer for some seconds while the stream is silent too. Time during
// which this process stood still does not count; the node is asked instead.
//
// The end of a link comes in this order: nothing more is sent on it, its requests
// are cancelled and waited for, its connections are closed, and what was under way
// is to be sent again. Only then is the next one asked for, on new connections: at
// once, then with pauses, until the node refuses or has given the session up. What
// other programs in the path say ends nothing. The node's first event settles the
// rest: its count of input, which must lie between what it had accepted and what was
// written; its last control operation; where output goes on. Each link is proven
// like the first. An attach takes the terminal's size along under a number of its
// own, except while a control operation has its number already: a higher one would
// make that void.
//
// An attach that had no answer may reach the node late and displace the one that
// followed: who is replaced within the life of such a token attaches again.
//
// Who watches or has joined comes in anew, and for who has joined the numbering
// begins anew as well: input that was under way is then not sent again, since it
// could arrive twice.
//
// # Flow of input
//
// Write queues bytes in the last waiting chunk. While few requests are under way
// each Write sends at once; beyond that, what gathers meanwhile leaves as one
// chunk, of at most wire.MaxInput, when a sender comes free. How much may be
// under way is bounded three times: by the node's room, by maxFlying requests,
// and by a number of bytes that follows the line, since a token that does not
// arrive within its five seconds is refused. Input that is not answered, or refused
// for a reason that may pass, is sent again for as long as a lost link would be
// looked for.
//
// # Rhythm
//
// Where the node has it so (rhythm.go), decoys leave while somebody types and for a
// while after. With wire.ObscureChaff they leave between keys and take no place that
// a key could want. With wire.ObscureInterval input leaves on a beat only: Write
// queues it and wakes nothing that sends, the beat takes what there is or a decoy,
// and senders that are through take nothing else. A decoy is sent once and belongs
// to no chunk. While nobody types no timer runs.
//
// # Goroutines
//
// A session has one that reads the stream, writes output, and looks for another
// link when it is lost. A link has one that sends control operations and
// acknowledgements, and up to maxFlying that send input; a sender lives while there
// is something to send. They end with the link, all with the session, and Wait
// returns after the senders. Only a caller's writer that never returns can hold the
// stream's goroutine. The timers of a session are stopped at its end. The client
// itself has the goroutines of net/http's idle connections, which Close ends; a link
// that follows on a loss has its own connections, which end with it.
//
// # Locks
//
// Session.writing is taken before input.mu. input.mu, orders.mu, connections.mu,
// trust.mu and the lock of a doubt are taken one at a time and never held while the
// network or a caller's code is waited for, except that a blocked Write waits on
// input.moved.
package client
