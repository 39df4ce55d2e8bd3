package keeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// link is one connection between daemon and keeper. Any goroutine may send; one
// receives.
type link struct {
	conn *net.UnixConn
	raw  syscall.RawConn
	pool *buffers
	in   frameReader

	takeFDs bool // receive descriptors with the next frames
	fds     []int

	mu    sync.Mutex // guards what follows: one frame is written at a time
	small [128]byte
	out   []byte // of the attempt under way
	sent  int
	err   error
	try   func(uintptr) bool
}

// newLink takes the connection over.
func newLink(conn *net.UnixConn, pool *buffers) (*link, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	l := &link{conn: conn, raw: raw, pool: pool}
	l.in = frameReader{from: l, pool: pool}
	l.try = l.attempt
	return l, nil
}

// send writes one frame whose body is head and tail together.
func (l *link) send(o op, flags uint8, id uint32, head, tail []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := headerSize + len(head) + len(tail)
	b := l.small[:0]
	if n > len(l.small) {
		big := l.pool.get(n)
		defer l.pool.put(big)
		b = (*big)[:0]
	}
	b = appendHeader(b, o, flags, id, len(head)+len(tail))
	b = append(append(b, head...), tail...)
	return l.write(b)
}

// write tries once without waiting. A peer that leaves its socket full for
// longer than stall is cut off.
func (l *link) write(b []byte) error {
	if l.err != nil {
		return l.err
	}
	l.out, l.sent = b, 0
	err := l.raw.Write(l.try)
	l.out = nil
	if err == nil && l.err == nil && l.sent < len(b) {
		_ = l.conn.SetWriteDeadline(time.Now().Add(stall))
		_, err = l.conn.Write(b[l.sent:])
		_ = l.conn.SetWriteDeadline(time.Time{})
	}
	if err != nil {
		l.err = err
	}
	if l.err != nil {
		l.cut() // the stream is broken within a frame
	}
	return l.err
}

// attempt writes what the socket takes at once.
func (l *link) attempt(fd uintptr) bool {
	for l.sent < len(l.out) {
		n, err := unix.Write(int(fd), l.out[l.sent:])
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return true
		case err != nil:
			l.err = os.NewSyscallError("write", err)
			return true
		default:
			l.sent += n
		}
	}
	return true
}

// sendJSON sends a message.
func (l *link) sendJSON(o op, id uint32, message any) error {
	b, err := encode(o, message)
	if err != nil {
		return err
	}
	return l.send(o, 0, id, b, nil)
}

// encode makes a frame's body of a message.
func encode(o op, message any) ([]byte, error) {
	b, err := json.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("encode message: %w", err)
	}
	if len(b) > o.maxBody() {
		return nil, fmt.Errorf("%w: message of %d bytes, limit %d", ErrInvalid, len(b), o.maxBody())
	}
	return b, nil
}

// sendFDs sends a frame with descriptors, which stay the caller's.
func (l *link) sendFDs(o op, id uint32, body []byte, fds ...int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	head := appendHeader(nil, o, 0, id, len(body))
	if l.err != nil {
		return l.err
	}
	n, _, err := l.conn.WriteMsgUnix(head, unix.UnixRights(fds...), nil)
	if err != nil {
		l.err = err
		l.cut()
		return err
	}
	return l.write(append(head[n:], body...))
}

// Read receives bytes and, when they are awaited, descriptors.
func (l *link) Read(b []byte) (int, error) {
	if !l.takeFDs {
		return l.conn.Read(b)
	}
	oob := make([]byte, unix.CmsgSpace(4*maxFDs))
	n, oobn, flags, _, err := l.conn.ReadMsgUnix(b, oob)
	if oobn > 0 {
		if rerr := l.keepFDs(oob[:oobn]); rerr != nil {
			return n, rerr
		}
	}
	if flags&unix.MSG_CTRUNC != 0 {
		return n, fmt.Errorf("%w: descriptors were lost", errFrame)
	}
	return n, err
}

// keepFDs remembers received descriptors.
func (l *link) keepFDs(oob []byte) error {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return fmt.Errorf("receive descriptors: %w", err)
	}
	for i := range messages {
		fds, err := unix.ParseUnixRights(&messages[i])
		if err != nil {
			continue // another kind of message
		}
		l.fds = append(l.fds, fds...)
	}
	if len(l.fds) > maxFDs {
		return fmt.Errorf("%w: %d descriptors", errFrame, len(l.fds))
	}
	return nil
}

// closeFDs closes the descriptors received so far.
func (l *link) closeFDs() {
	for _, fd := range l.fds {
		_ = unix.Close(fd)
	}
	l.fds = nil
}

// bounded runs an exchange that the context or the limit cuts short. Nobody
// else may use the connection meanwhile.
func (l *link) bounded(ctx context.Context, limit time.Duration, exchange func() error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cut := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(cut)
		_ = l.conn.SetDeadline(time.Unix(1, 0))
	})
	err := exchange()
	expired := !stop()
	if expired {
		<-cut
	}
	switch {
	case err == nil:
		return l.conn.SetDeadline(time.Time{})
	case expired:
		return fmt.Errorf("%w: %w", context.Cause(ctx), err)
	default:
		return err
	}
}

// cut ends the connection in both directions. What the other side has sent until
// then can still be received: it counts, also when the other side is gone.
func (l *link) cut() {
	_ = l.conn.CloseWrite()
	_ = l.conn.CloseRead()
}

// isLeft reports whether the other side has ended the connection, with nothing
// left to receive.
func (l *link) isLeft() bool {
	left := false
	_ = l.raw.Control(func(fd uintptr) {
		n, _, err := unix.Recvfrom(int(fd), make([]byte, 1), unix.MSG_PEEK|unix.MSG_DONTWAIT)
		left = n == 0 && err == nil || err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	})
	return left
}

// close ends the connection; a receiver returns.
func (l *link) close() { _ = l.conn.Close() }
