// Package client opens sessions on a node over HTTP: it signs requests, checks
// who answers, reads the event stream and sends input.
//
// It owns the client's side of the protocol in package wire: the pin of a
// node's identity and of its TLS key (known.go, trust.go), the node's signed
// word about itself and the correction of the clock (node.go), tokens padded to
// steps (sign.go), the stream (stream.go), input (input.go, send.go), and
// control operations and acknowledgements (control.go). It shows nothing and
// asks nobody: what a person should know goes to Options.Notify.
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
// # Flow of input
//
// Write queues bytes in the last waiting chunk. While few requests are under way
// each Write sends at once; beyond that, what gathers meanwhile leaves as one
// chunk, of at most wire.MaxInput, when a sender comes free. How much may be
// under way is bounded three times: by the node's room, by maxFlying requests,
// and by a number of bytes that follows the line, since a token that does not
// arrive within its five seconds is refused.
//
// # Goroutines
//
// A session has one that reads the stream and writes output, one that sends
// control operations and acknowledgements, and up to maxFlying that send input;
// a sender lives while there is something to send. All end with the session,
// and Wait returns after the senders. Only a caller's writer that never returns
// can hold the stream's goroutine. The timers of a session are stopped at its
// end. The client itself has the goroutines of net/http's idle connections,
// which Close ends.
//
// # Locks
//
// Session.writing is taken before input.mu. input.mu, orders.mu and trust.mu are
// taken one at a time and never held while the network or a caller's code is
// waited for, except that a blocked Write waits on input.moved.
package client
