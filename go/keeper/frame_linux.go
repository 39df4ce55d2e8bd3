package keeper

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// A frame is a header of headerSize bytes and a body. All numbers are little
// endian: body length (4), op (1), flags (1), 0 (2), id (4). An answer carries
// the id of its request; id 0 asks for no answer.
const headerSize = 12

// inputHeader is the size of the offset before an input's data.
const inputHeader = 8

// op says what a frame is. Numbers are never used again for something else.
type op uint8

// Frames of the daemon.
const (
	opHello    op = 1  // hello; first on each connection
	opList     op = 2  // listQuery, answered by listAnswer
	opShutdown op = 3  // empty; answered when all sessions have ended
	opStart    op = 4  // startBody, answered by Info; the connection becomes the session's
	opAdopt    op = 5  // adoptBody, answered by Info; the connection becomes the session's
	opInput    op = 6  // offset (8), data; flagEOF; no answer
	opSpace    op = 7  // empty, no answer: what the keeper waits for may be there
	opResize   op = 8  // seq (8), columns (2), rows (2)
	opSignal   op = 9  // seq (8), name
	opEnd      op = 10 // reason; answered when the ending has begun
	opForget   op = 11 // empty
	opMeta     op = 12 // the new meta
	opAttached op = 13 // empty; flagOn: somebody reads
	opUpgrade  op = 14 // upgradeBody, with the program's descriptor; answered when it failed
)

// Frames of the keeper.
const (
	opAnswer   op = 64 // the result, or failure with flagFailed
	opPoke     op = 65 // empty: a word in shared memory changed
	opReplaced op = 66 // empty; another daemon has the session now
)

// Flags; each belongs to the op in its comment.
const (
	flagEOF    uint8 = 1 // opInput: the input ends after this
	flagOn     uint8 = 1 // opAttached
	flagFailed uint8 = 1 // opAnswer
)

// frame is one message. Its body is valid until the next one is read.
type frame struct {
	op    op
	flags uint8
	id    uint32
	body  []byte
}

// maxBody is the bound of a frame's body.
func (o op) maxBody() int {
	switch o {
	case opSpace, opForget, opShutdown, opPoke, opReplaced, opAttached:
		return 0
	case opInput:
		return maxInputFrame
	case opMeta:
		return MaxMeta
	case opHello, opList, opAdopt, opResize, opSignal, opEnd:
		return maxSmall
	default: // start, answer, and those of a newer peer, which are skipped
		return maxFrame
	}
}

// errFrame means that the other side broke the framing.
var errFrame = errors.New("malformed frame")

// parseHeader reads a header of headerSize bytes and gives the body's length.
func parseHeader(b []byte) (frame, int, error) {
	n := binary.LittleEndian.Uint32(b)
	f := frame{op: op(b[4]), flags: b[5], id: binary.LittleEndian.Uint32(b[8:])}
	if limit := f.op.maxBody(); uint64(n) > uint64(limit) {
		return frame{}, 0, fmt.Errorf("%w: op %d with a body of %d bytes, limit %d", errFrame, f.op, n, limit)
	}
	return f, int(n), nil
}

// appendHeader writes a header.
func appendHeader(b []byte, o op, flags uint8, id uint32, body int) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(body))
	b = append(b, byte(o), flags, 0, 0)
	return binary.LittleEndian.AppendUint32(b, id)
}

// parseInput splits an input frame's body.
func parseInput(body []byte) (offset uint64, data []byte, err error) {
	if len(body) < inputHeader {
		return 0, nil, fmt.Errorf("%w: input of %d bytes", errFrame, len(body))
	}
	return binary.LittleEndian.Uint64(body), body[inputHeader:], nil
}

// appendResize writes a resize's body.
func appendResize(b []byte, seq uint64, cols, rows uint16) []byte {
	b = binary.LittleEndian.AppendUint64(b, seq)
	return binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(b, cols), rows)
}

// parseResize reads it. What follows is of a newer daemon.
func parseResize(body []byte) (seq uint64, cols, rows uint16, err error) {
	if len(body) < 12 {
		return 0, 0, 0, fmt.Errorf("%w: size of %d bytes", ErrInvalid, len(body))
	}
	le := binary.LittleEndian
	return le.Uint64(body), le.Uint16(body[8:]), le.Uint16(body[10:]), nil
}

// appendSignal writes a signal's body.
func appendSignal(b []byte, seq uint64, name string) []byte {
	return append(binary.LittleEndian.AppendUint64(b, seq), name...)
}

// parseSignal reads it.
func parseSignal(body []byte) (seq uint64, name string, err error) {
	if len(body) < 8 {
		return 0, "", fmt.Errorf("%w: signal of %d bytes", ErrInvalid, len(body))
	}
	return binary.LittleEndian.Uint64(body), string(body[8:]), nil
}

// frameReader splits a stream into frames. Small frames, all that an idle
// session sees, fit its own buffer; a larger body borrows one from the pool.
type frameReader struct {
	from io.Reader
	pool *buffers
	buf  [256]byte
	r, w int     // buf[r:w] is unread
	big  *[]byte // borrowed for the last body
}

// next reads one frame. At the end between two frames it returns [io.EOF],
// within one [io.ErrUnexpectedEOF].
func (fr *frameReader) next() (frame, error) {
	fr.release()
	if err := fr.want(headerSize); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) && fr.r == fr.w {
			return frame{}, io.EOF
		}
		return frame{}, err
	}
	f, n, err := parseHeader(fr.buf[fr.r:fr.w])
	if err != nil {
		return frame{}, err
	}
	fr.r += headerSize
	f.body, err = fr.take(n)
	return f, err
}

// take reads a body of n bytes.
func (fr *frameReader) take(n int) ([]byte, error) {
	if n <= len(fr.buf) {
		if err := fr.want(n); err != nil {
			return nil, err
		}
		b := fr.buf[fr.r : fr.r+n]
		fr.r += n
		return b, nil
	}
	fr.big = fr.pool.get(n)
	b := *fr.big
	had := copy(b, fr.buf[fr.r:fr.w])
	fr.r, fr.w = 0, 0
	if _, err := io.ReadFull(fr.from, b[had:]); err != nil {
		return nil, unexpected(err)
	}
	return b, nil
}

// want reads until n bytes, at most the buffer, are unread.
func (fr *frameReader) want(n int) error {
	if fr.r == fr.w {
		fr.r, fr.w = 0, 0
	}
	if len(fr.buf)-fr.r < n {
		fr.w = copy(fr.buf[:], fr.buf[fr.r:fr.w])
		fr.r = 0
	}
	for fr.w-fr.r < n {
		m, err := fr.from.Read(fr.buf[fr.w:])
		fr.w += m
		if err != nil && fr.w-fr.r < n {
			return unexpected(err)
		}
	}
	return nil
}

// release gives a borrowed buffer back.
func (fr *frameReader) release() {
	if fr.big != nil {
		fr.pool.put(fr.big)
		fr.big = nil
	}
}

// unexpected is err as it is called within a frame.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// buffers lends large buffers, so that an idle connection holds none.
type buffers struct{ pool sync.Pool }

func (p *buffers) get(n int) *[]byte {
	if b, ok := p.pool.Get().(*[]byte); ok && cap(*b) >= n {
		*b = (*b)[:n]
		return b
	}
	b := make([]byte, n, max(n, headerSize+maxInputFrame))
	return &b
}

// put takes a buffer back, unless keeping it would hold an exceptional amount.
func (p *buffers) put(b *[]byte) {
	if cap(*b) <= 2*maxInputFrame {
		p.pool.Put(b)
	}
}
