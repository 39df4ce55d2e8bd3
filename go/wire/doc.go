// Package wire is the protocol between two nodes, version 1: the types, routes,
// headers, event names, error codes and limits that both sides must agree on.
// It imports nothing of this module and does no I/O.
//
// # Words
//
// The node is the machine that runs the daemon. The client is whoever opens a
// session on it. A session is one program on a node, on a terminal or on pipes,
// that outlives the connections through which it is reached.
//
// # Node identity
//
// A node has a P-256 identity key. Its node ID is "SHA256:" and the unpadded
// base64 of the SHA-256 of the public key's PKIX DER. GET [PathNode] with the
// query "nonce" needs no token and answers a JWT of type [TypeNode] with
// [NodeClaims]. The answer to an open, attach or join carries a proof, a JWT of
// type [TypeProof] with [ProofClaims].
//
// # Requests
//
// A request is POSTed and its body is one compact JWS of type [TypeRequest]
// whose payload is [Claims]. It lives at most [MaxTokenLife]. Under
// [PathShell](source) the operation [OpOpen] starts a session and its answer is
// the event stream. Under [PathSession](source, session) the operations
// [OpInput], [OpResize], [OpSignal], [OpAck] and [OpClose] are answered with
// [Answer], and [OpAttach] with the event stream from an offset on.
//
// Input and output are byte streams that are numbered from 0. An input names
// the offset of its first byte; the node applies each byte exactly once. Control
// operations carry a sequence number; one not above the last applied is
// acknowledged and dropped. Every operation carries the output bytes consumed.
//
// # The event stream
//
// Server-Sent Events as the HTML standard defines them. See the Event constants
// for the names and their data. The id of an output event is the offset after
// its last byte. A stream that ends without [EventExit] is a loss.
//
// # Errors
//
// A refusal is a [Problem] (RFC 9457) with a stable [Code]. Before a signature
// has been verified each refusal on a protected path is the same [CodeNotFound].
//
// # Compatibility
//
// Fields are only added; unknown fields and events are ignored by a receiver.
package wire
