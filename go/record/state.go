package record

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"time"
	"unicode/utf8"
)

// The streams of a session, each with characters of its own.
const (
	streamOutput = iota
	streamErrors
	streamInput
	streams
)

// The state file: two slots, a page apart, so that no write touches both.
const (
	slotSize  = 192
	slotApart = 4096
	sideSize  = slotApart + slotSize
)

var slotMagic = [8]byte{'e', 't', 'c', 'h', 'a', 'r', 'e', '1'}

// state is up to where a recording is good, and what is needed to go on.
type state struct {
	seq     uint64 // of the slot; the newer one has the higher
	size    int64  // of the cast
	digest  [32]byte
	output  uint64 // bytes of output taken
	missing uint64 // of these, bytes that were lost
	input   uint64 // bytes of input taken
	started time.Time
	last    time.Duration // of the last event, since started
	cols    uint16
	rows    uint16

	limited  bool // ended at its limit
	finished bool // its last event is written
	held     [streams]tail
}

// slot is a state in its file: little endian.
type slot struct {
	Magic                  [8]byte
	Seq                    uint64
	Size                   int64
	Digest                 [32]byte
	Output, Missing, Input uint64
	Started, Last          int64 // Unix microseconds; microseconds
	Cols, Rows             uint16
	Limited, Finished      bool
	Held                   [streams]struct{ N, A, B, C uint8 }
	Reserved               [58]byte
	Checksum               uint32 // CRC-32C of all before
}

// place is where in the file the slot is.
func (s *state) place() int64 { return int64(s.seq%2) * slotApart }

func checksum(b []byte) uint32 {
	return crc32.Checksum(b[:slotSize-4], crc32.MakeTable(crc32.Castagnoli))
}

func (s *state) encode() []byte {
	d := slot{
		Magic: slotMagic, Seq: s.seq, Size: s.size, Digest: s.digest,
		Output: s.output, Missing: s.missing, Input: s.input,
		Started: s.started.UnixMicro(), Last: s.last.Microseconds(),
		Cols: s.cols, Rows: s.rows, Limited: s.limited, Finished: s.finished,
	}
	for i, h := range s.held {
		d.Held[i].N, d.Held[i].A, d.Held[i].B, d.Held[i].C = h.n, h.b[0], h.b[1], h.b[2]
	}
	b := make([]byte, slotSize)
	if _, err := binary.Encode(b, binary.LittleEndian, &d); err != nil {
		panic(err) // the size of slot is fixed
	}
	binary.LittleEndian.PutUint32(b[slotSize-4:], checksum(b))
	return b
}

// decodeState reads the slot at the beginning of b.
func decodeState(b []byte) (s state, ok bool) {
	if len(b) < slotSize || !bytes.HasPrefix(b, slotMagic[:]) || binary.LittleEndian.Uint32(b[slotSize-4:]) != checksum(b) {
		return state{}, false
	}
	var d slot
	if _, err := binary.Decode(b[:slotSize], binary.LittleEndian, &d); err != nil {
		return state{}, false
	}
	s = state{
		seq: d.Seq, size: d.Size, digest: d.Digest, output: d.Output, missing: d.Missing, input: d.Input,
		started: time.UnixMicro(d.Started), last: time.Duration(d.Last) * time.Microsecond,
		cols: d.Cols, rows: d.Rows, limited: d.Limited, finished: d.Finished,
	}
	for i, h := range d.Held {
		s.held[i] = tail{n: h.N, b: [utf8.UTFMax - 1]byte{h.A, h.B, h.C}}
		if int(h.N) > len(s.held[i].b) {
			return state{}, false
		}
	}
	return s, d.Size >= 0 && d.Last >= 0 && d.Last < int64(maxTime/time.Microsecond) && d.Missing <= d.Output
}

// decodeStates reads a state file: its good slots, the newer one first.
func decodeStates(b []byte) []state {
	var found []state
	for at := 0; at <= slotApart && at < len(b); at += slotApart {
		if s, ok := decodeState(b[at:]); ok && s.place() == int64(at) {
			found = append(found, s)
		}
	}
	if len(found) == 2 && found[1].seq > found[0].seq {
		found[0], found[1] = found[1], found[0]
	}
	return found
}

// tail is the beginning of a character whose rest has not come.
type tail struct {
	n uint8
	b [utf8.UTFMax - 1]byte
}

// take is the text that p completes; what may still become a character is kept.
func (t *tail) take(p []byte) []byte {
	text := p
	if t.n > 0 {
		text = append(t.b[:t.n:t.n], p...)
		t.n = 0
	}
	for i := max(0, len(text)-len(t.b)); i < len(text); i++ {
		if utf8.RuneStart(text[i]) && !utf8.FullRune(text[i:]) {
			t.n = uint8(copy(t.b[:], text[i:])) //nolint:gosec // at most three
			return text[:i]
		}
	}
	return text
}

// rest is what is kept, for good.
func (t *tail) rest() []byte {
	b := append([]byte(nil), t.b[:t.n]...)
	*t = tail{}
	return b
}
