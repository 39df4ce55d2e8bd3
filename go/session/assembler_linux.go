package session

import "slices"

// maxEarly bounds the pieces of input that wait, however small they are: several
// times what a client has in flight.
const maxEarly = 128

// assembler puts input that arrives in any order, in pieces that overlap and
// repeat, back in order, each byte once. It is not safe for concurrent use.
//
// What follows on is handed on at once; what comes early waits. Where two pieces
// overlap, the byte that came first counts.
type assembler struct {
	early []piece // by offset, apart from each other, beyond what is next
	ends  bool    // the input ends at end
	end   uint64
}

// piece is input that waits for what is before it.
type piece struct {
	offset uint64
	data   []byte
}

func (p piece) end() uint64 { return p.offset + uint64(len(p.data)) }

// from is the part of p at and beyond offset.
func (p piece) from(offset uint64) piece {
	if offset <= p.offset {
		return p
	}
	n := min(offset-p.offset, uint64(len(p.data)))
	return piece{p.offset + n, p.data[n:]}
}

// fits reports whether p, with next the offset wanted, can be taken in: it
// follows on, or there is place to wait.
func (a *assembler) fits(next uint64, p piece) bool {
	return p.offset <= next || len(a.early) < maxEarly
}

// add takes p, with next the offset wanted, and gives what now follows there,
// nil for nothing; that may share memory with p. The caller has checked that p
// fits and is within the window.
func (a *assembler) add(next uint64, p piece) []byte {
	p = p.from(next)
	switch {
	case len(p.data) == 0:
		return nil
	case p.offset > next:
		a.insert(p)
		return nil
	case len(a.early) == 0 || a.early[0].offset > p.end():
		return p.data
	}
	return a.join(p)
}

// insert keeps the parts of p that no waiting piece has.
func (a *assembler) insert(p piece) {
	early := make([]piece, 0, len(a.early)+1)
	for _, e := range a.early {
		if p.offset < e.offset && len(p.data) > 0 {
			n := min(e.offset-p.offset, uint64(len(p.data)))
			early = append(early, piece{p.offset, slices.Clone(p.data[:n])})
		}
		early = append(early, e)
		p = p.from(e.end())
	}
	if len(p.data) > 0 {
		early = append(early, piece{p.offset, slices.Clone(p.data)})
	}
	a.early = early
}

// join appends to p the waiting pieces that it reaches.
func (a *assembler) join(p piece) []byte {
	a.insert(p)
	var out []byte
	next, n := p.offset, 0
	for n < len(a.early) && a.early[n].offset == next {
		out = append(out, a.early[n].data...)
		next = a.early[n].end()
		n++
	}
	if a.early = a.early[n:]; len(a.early) == 0 {
		a.early = nil
	}
	return out
}

// close says where the input ends; false when it contradicts what is known.
func (a *assembler) close(end uint64) bool {
	if a.ends {
		return a.end == end
	}
	if n := len(a.early); n > 0 && a.early[n-1].end() > end {
		return false
	}
	a.ends, a.end = true, end
	return true
}

// beyond reports whether offset is behind the end of the input.
func (a *assembler) beyond(offset uint64) bool { return a.ends && offset > a.end }
