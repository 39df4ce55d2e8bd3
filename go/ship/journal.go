package ship

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"etcha/go/audit"
)

// journal is journald's native protocol: https://systemd.io/JOURNAL_NATIVE_PROTOCOL/.
// An entry is at most audit.MaxEntry bytes and its fields again, which fits into a
// datagram; the protocol's way for larger ones is not needed.
type journal struct{ socket, node string }

func newJournal(socket, node string) *journal { return &journal{socket, node} }

func (j *journal) close() {}

func (j *journal) send(ctx context.Context, items []item) (int, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unixgram", j.socket)
	if err != nil {
		return 0, fmt.Errorf("journald: %w", err)
	}
	defer func() { _ = conn.Close() }()
	defer bound(ctx, conn)()
	for i, it := range items {
		if _, err := conn.Write(j.message(it)); err != nil {
			return i, fmt.Errorf("journald: %w", err)
		}
	}
	return len(items), nil
}

// bound makes whatever waits on a connection end with the context; release ends
// that.
func bound(ctx context.Context, conn net.Conn) (release func()) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	return func() { stop() }
}

func (j *journal) message(it item) []byte {
	var b []byte
	e := it.entry
	for _, f := range [][2]string{
		{"MESSAGE", summary(e)},
		{"PRIORITY", strconv.Itoa(severity(e.Event))},
		{"SYSLOG_FACILITY", strconv.Itoa(facility)},
		{"SYSLOG_IDENTIFIER", appName},
		{"ETCHA_NODE", j.node},
		{"ETCHA_SEQ", strconv.FormatUint(e.Seq, 10)},
		{"ETCHA_EVENT", string(e.Event)},
		{"ETCHA_SESSION", e.Session},
		{"ETCHA_SOURCE", e.Source},
		{"ETCHA_KEY", e.Key},
		{"ETCHA_SUBJECT", e.Subject},
		{"ETCHA_ADDR", e.Addr},
		{"ETCHA_USER", e.User},
		{"ETCHA_REASON", e.Reason},
		{"ETCHA_ENTRY", string(it.line)},
	} {
		if f[1] != "" {
			b = appendField(b, f[0], f[1])
		}
	}
	return b
}

// appendField writes a field: with its length where it holds a line break.
func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	if !strings.Contains(value, "\n") {
		return append(append(append(b, '='), value...), '\n')
	}
	b = binary.LittleEndian.AppendUint64(append(b, '\n'), uint64(len(value)))
	return append(append(b, value...), '\n')
}

// summary is an entry for people, on one line.
func summary(e audit.Entry) string {
	var b strings.Builder
	b.WriteString(string(e.Event))
	for _, f := range [][2]string{
		{"session", e.Session},
		{"source", e.Source},
		{"key", e.Key},
		{"subject", e.Subject},
		{"addr", e.Addr},
		{"user", e.User},
		{"reason", e.Reason},
	} {
		if f[1] != "" {
			fmt.Fprintf(&b, " %s=%s", f[0], strconv.Quote(f[1]))
		}
	}
	return b.String()
}

// Severities of RFC 5424, section 6.2.1.
const (
	warning = 4
	notice  = 5
	info    = 6
)

// severity of an event.
func severity(e audit.Event) int {
	switch e {
	case audit.Refused, audit.Killed, audit.Unrecorded, audit.Torn, audit.Broken:
		return warning
	case audit.Opened, audit.Attached, audit.Watched, audit.Joined:
		return notice
	default:
		return info
	}
}
