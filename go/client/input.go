package client

import (
	"errors"
	"sync"
	"time"

	"etcha/go/wire"
)

const (
	// eager is how many input requests may be under way while each Write still
	// sends at once; beyond, input is gathered into full chunks.
	eager = 8
	// maxFlying keeps one request free for ack, signal and close.
	maxFlying = wire.MaxInFlight - 1
	// maxWaiting is the input that a Write may leave unsent, bytes.
	maxWaiting = 4 * wire.MaxInput
	// minPiece is the least that is cut off a chunk when there is little room.
	minPiece = 4 << 10
	// maxTries is how often a signal is sent before its caller is told.
	maxTries = 8

	// The bytes of input under way. A token lives wire.MaxTokenLife, and so must
	// arrive within it: on a slow line less is sent at a time.
	firstFlight = 4 * wire.MaxInput
	minFlight   = 4 << 10
	maxFlight   = maxFlying * wire.MaxInput
	// slowAnswer and quickAnswer are when the flight shrinks and grows.
	slowAnswer  = 2 * time.Second
	quickAnswer = time.Second
)

// chunk is a piece of input that is sent as one request.
type chunk struct {
	offset uint64
	data   []byte
	eof    bool // stdin is closed behind data
	state  chunkState
	tries  int
	since  time.Time // the first of them on this link failed
	sent   time.Time
}

func (c *chunk) end() uint64 { return c.offset + uint64(len(c.data)) }

type chunkState uint8

const (
	waiting chunkState = iota // to be sent
	flying                    // a sender has it
	held                      // the node has it, but not what stands before it
)

// input is what a session's program is to read, from what was written up to
// what the node has accepted. Each byte is kept until an answer covers it, so
// that it can be sent again: to the node it is the same byte.
type input struct {
	mu     sync.Mutex
	moved  sync.Cond // something left the queue, or err was set
	chunks []*chunk  // not yet accepted, in order, without gaps
	next   uint64    // offset of the next byte written
	unsent int       // bytes waiting
	eof    bool      // nothing may be written any more
	err    error     // nothing is sent any more
	paused bool      // nothing is sent for now: there is no link

	accepted uint64 // the node's count of bytes
	limit    uint64 // bytes that may be sent
	written  uint64 // the program has read, with room left then: of the last input event
	room     uint64

	senders   int // goroutines that send
	decoys    int // those of them that send a decoy
	inFlight  int // bytes
	flight    int // most bytes in flight
	shrunk    time.Time
	eofClosed bool // the node has closed stdin
}

func newInput(offset uint64) *input {
	in := &input{next: offset, accepted: offset, written: offset, room: wire.InputWindow, limit: offset + wire.InputWindow, flight: firstFlight}
	in.moved.L = &in.mu
	return in
}

// add queues as much of p as may wait and returns how much that was. It blocks
// while nothing may.
func (in *input) add(p []byte) (int, error) {
	for in.err == nil && !in.eof && in.unsent >= maxWaiting {
		in.moved.Wait()
	}
	if in.err != nil {
		return 0, in.err
	}
	if in.eof {
		return 0, errWriteClosed
	}
	tail := in.tail()
	p = p[:min(len(p), wire.MaxInput-len(tail.data), maxWaiting-in.unsent)]
	tail.data = append(tail.data, p...)
	in.next += uint64(len(p))
	in.unsent += len(p)
	return len(p), nil
}

var errWriteClosed = errors.New("the input was closed")

// tail is the last chunk, where it can take more, else a new one.
func (in *input) tail() *chunk {
	if n := len(in.chunks); n > 0 {
		if c := in.chunks[n-1]; c.state == waiting && c.tries == 0 && len(c.data) < wire.MaxInput {
			return c
		}
	}
	c := &chunk{offset: in.next}
	in.chunks = append(in.chunks, c)
	return c
}

// closeWrite marks the end of the input.
func (in *input) closeWrite() error {
	if in.err != nil {
		return in.err
	}
	if !in.eof {
		in.tail().eof = true
		in.eof = true
		in.moved.Broadcast()
	}
	return nil
}

// take gives the next chunk to send, nil when there is none or it must wait.
func (in *input) take(now time.Time) *chunk {
	if in.err != nil || in.paused {
		return nil
	}
	for i, c := range in.chunks {
		if c.state != waiting {
			continue
		}
		size := in.allowed(c)
		if size < len(c.data) {
			if size == 0 {
				return nil
			}
			in.split(i, size)
		} else if c.end() > in.limit {
			return nil
		}
		c.state, c.sent = flying, now
		in.inFlight += len(c.data)
		in.unsent -= len(c.data)
		in.moved.Broadcast()
		return c
	}
	return nil
}

// allowed is how many bytes of a chunk may be sent now.
func (in *input) allowed(c *chunk) int {
	size := min(len(c.data), max(in.flight/4, minPiece))
	if in.inFlight > 0 && in.inFlight+size > in.flight {
		return 0
	}
	if c.offset >= in.limit {
		return 0
	}
	if room := in.limit - c.offset; uint64(size) > room {
		if in.inFlight > 0 && room < minPiece {
			return 0 // more room is about to be told
		}
		size = int(room)
	}
	return size
}

// split cuts chunk i behind its first size bytes.
func (in *input) split(i, size int) {
	c := in.chunks[i]
	rest := &chunk{offset: c.offset + uint64(size), data: c.data[size:], eof: c.eof}
	c.data, c.eof, c.tries = c.data[:size:size], false, 0
	in.chunks = append(in.chunks, nil)
	copy(in.chunks[i+2:], in.chunks[i+1:])
	in.chunks[i+1] = rest
}

// more reports whether another sender should start: at once while few are
// under way, later for full chunks only.
func (in *input) more() bool {
	if in.err != nil || in.paused || in.senders >= maxFlying {
		return false
	}
	if in.senders-in.decoys < eager {
		return true
	}
	return in.unsent >= wire.MaxInput
}

// answered books an answer of the node to the chunk c, or to another request
// when c is nil.
func (in *input) answered(c *chunk, ans wire.Answer, now time.Time) {
	if c != nil {
		in.landed(c)
		c.state = held
		if ans.Offset >= c.end() && c.eof {
			in.eofClosed = true
		}
		in.pace(c, now)
	}
	in.learn(ans.Offset, ans.Room)
}

// learn books what the node has accepted and the room it has behind that.
func (in *input) learn(accepted, room uint64) {
	in.accepted = max(in.accepted, min(accepted, in.next))
	in.limit = max(in.limit, accepted+room)
	in.recount()
	in.retire()
}

// drained books an input event: the program has read on.
func (in *input) drained(st wire.InputState) {
	if st.Offset < in.written {
		return
	}
	in.written, in.room = st.Offset, st.Room
	in.recount()
}

// recount derives the limit from the last input event. The room it told counts
// from what was accepted then, which is not known here: it is neither more than
// what is accepted now, nor does it reach beyond the window.
func (in *input) recount() {
	in.limit = max(in.limit, min(in.accepted+in.room, in.written+wire.InputWindow))
}

// retire lets go of what is accepted. What the node held but does not have
// after all, since what stood before it is accepted and it is not, is sent again.
func (in *input) retire() {
	n := 0
	for _, c := range in.chunks {
		done := c.end() <= in.accepted && (!c.eof || in.eofClosed)
		if !done || c.state == flying {
			break
		}
		if c.state == waiting {
			in.unsent -= len(c.data)
		}
		n++
	}
	if n > 0 {
		in.chunks = append(in.chunks[:0], in.chunks[n:]...)
		in.moved.Broadcast()
	}
	if len(in.chunks) > 0 && in.chunks[0].state == held && in.chunks[0].offset <= in.accepted {
		in.again(in.chunks[0])
	}
}

// refused books that a chunk was refused or not answered: it is to be sent again.
func (in *input) refused(c *chunk, err error, now time.Time) {
	if in.err != nil {
		return
	}
	in.landed(c)
	in.again(c)
	if c.since.IsZero() {
		c.since = now
	}
	var r *RefusedError
	if errors.As(err, &r) {
		switch r.Problem.Code {
		case wire.CodeExpired, wire.CodeTimeout:
			in.shrink(c, now) // it was too long under way
		case wire.CodeOffset:
			in.wanted(r.Problem)
		}
	}
	in.retire()
}

// landed ends a chunk's flight.
func (in *input) landed(c *chunk) { in.inFlight -= len(c.data) }

// again puts a chunk back to be sent.
func (in *input) again(c *chunk) {
	c.state = waiting
	c.tries++
	in.unsent += len(c.data)
}

// pace adapts the bytes in flight to how long an answer took.
func (in *input) pace(c *chunk, now time.Time) {
	switch took := now.Sub(c.sent); {
	case took > slowAnswer:
		in.shrink(c, now)
	case took < quickAnswer:
		in.flight = min(in.flight+len(c.data), maxFlight)
	}
}

// shrink halves the flight, once for all that was under way together.
func (in *input) shrink(c *chunk, now time.Time) {
	if c.sent.Before(in.shrunk) {
		return
	}
	in.flight = max(in.flight/2, minFlight)
	in.shrunk = now
}

// wanted books a refusal for the offset: the node's own count and room.
func (in *input) wanted(p wire.Problem) {
	if p.Offset == nil || p.Room == nil || *p.Offset < in.accepted { // or newer answers are known
		return
	}
	in.limit, in.room = min(in.limit, *p.Offset+*p.Room), 0
	in.learn(*p.Offset, *p.Room)
}

// fail ends the input.
func (in *input) fail(err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.err == nil {
		in.err = err
	}
	in.chunks, in.unsent = nil, 0
	in.moved.Broadcast()
}

// stuck reports whether input waits that nothing under way will set free.
func (in *input) stuck() bool {
	return in.err == nil && !in.paused && in.senders == 0 && len(in.chunks) > 0
}
