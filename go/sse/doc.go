// Package sse writes and reads event streams: Server-Sent Events as the HTML
// standard defines them (https://html.spec.whatwg.org/multipage/server-sent-events.html).
//
// A [Writer] puts events into one reused buffer and writes them on
// [Writer.Flush]: a burst of output costs one Write and one flush, and an output
// frame costs no allocation. It has one user at a time and no lock.
//
// A [Reader] yields complete events only. It refuses an event beyond its limit,
// tells a stream that ended between two events ([io.EOF]) from one that was cut
// inside an event ([io.ErrUnexpectedEOF]), and never holds more than the limit.
// Splitting the stream at blank lines is r3labs/sse's EventStreamReader, which
// this package alone imports; line ends are made LF before it sees them, so that
// CR, LF and CRLF may be mixed freely.
//
// Invariants:
//
//   - Data that was written is read back equal, except that CR and CRLF in
//     the data of [Writer.Event] become LF, since a data line cannot hold them.
//   - Output frames carry at most [MaxFrame] raw bytes.
//   - Nothing here starts a goroutine.
package sse
