// Package ship sends audit entries and recordings away: to syslog, the systemd
// journal and S3-compatible stores.
//
// Each destination reads the audit log itself and keeps its own place in it, a
// cursor in Options.CursorDir. It sends in the log's order and moves its cursor
// once the entries have arrived, so that neither a crash nor a server that is
// away loses any: what was under way is sent again. What was pruned from the log
// before it was sent is lost, and that is logged.
//
// "Arrived" means, by destination:
//
//   - syslog over tcp and tls: the server has read everything and closed the
//     connection in answer to our end of it (RFC 5425 demands it). A connection
//     carries one batch.
//   - syslog over a unix socket, the journal: the kernel has taken the datagram.
//   - syslog over udp: the datagram left. Nothing tells whether it came.
//   - S3: the store has answered that it has the object.
//
// A failed attempt is repeated after 1 s, doubling to 1 min, with jitter. Every
// attempt has a time limit. An error is logged when it differs from the one before,
// and its end is logged too.
//
// [Shipper.Run] starts one goroutine for each destination and returns when all
// have ended. Nothing here ever waits for a session, and a session waits for
// nothing but [Shipper.Wait].
package ship
