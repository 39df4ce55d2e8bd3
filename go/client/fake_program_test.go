package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"

	"etcha/go/sse"
	"etcha/go/token"
	"etcha/go/wire"
)

// program is a session: what the keeper and the program would be.
type program struct {
	n   *node
	id  string
	key token.PublicKey

	mu       sync.Mutex
	cond     sync.Cond
	in       bytes.Buffer      // accepted, not yet read by the program
	accepted uint64            // input
	foreign  uint64            // input of guests
	early    map[uint64]string // input that came before its turn
	earlyEOF uint64            // offset+1
	eof      bool
	told     uint64 // input offset of the last event
	seq      uint64
	ops      []wire.Shell // control operations applied
	out      []frame      // not yet acknowledged
	sent     int          // frames of out that are on the stream
	head     uint64
	acked    uint64
	acks     int
	maxAhead uint64 // most unacknowledged output
	notices  []wire.Notice
	exit     *wire.Exit

	pty        bool
	cols, rows uint16
	gen        int // number of the present stream

	keep      bool   // all output, for viewers
	all       []byte // with keep
	shownFrom uint64 // where a viewer's output begins
	skipTo    uint64 // what a viewer misses
}

// takeOver begins a stream at an offset of the output; the one before ends. What
// a node keeps in memory only is forgotten, as over a restart.
func (p *program) takeOver(from uint64) (gen int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.out) > 0 && p.out[0].end <= from {
		p.out = p.out[1:]
	}
	clear(p.early)
	p.earlyEOF = 0
	p.sent = 0
	p.told = 0
	p.gen++
	p.cond.Broadcast()
	return p.gen
}

// tail is where the output that is still there begins.
func (p *program) tail() uint64 {
	if len(p.out) > 0 {
		return p.out[0].end - uint64(len(p.out[0].raw))
	}
	return p.head
}

type frame struct {
	name string
	end  uint64
	raw  []byte
}

func newProgram(n *node, id string, key token.PublicKey) *program {
	p := &program{n: n, id: id, key: key, early: make(map[uint64]string)}
	p.cond.L = &p.mu
	return p
}

// Read gives the program's input; io.EOF behind its end.
func (p *program) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.in.Len() == 0 {
		if p.eof || p.exit != nil {
			return 0, io.EOF
		}
		p.cond.Wait()
	}
	p.cond.Broadcast()
	return p.in.Read(b)
}

// Write gives the program's output; it blocks while the window is full.
func (p *program) Write(b []byte) (int, error) { return p.output(wire.EventOutput, b) }

func (p *program) output(name string, b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for rest := b; len(rest) > 0; {
		for p.head-p.acked >= p.n.window && p.exit == nil {
			p.cond.Wait()
		}
		if p.exit != nil {
			return 0, io.ErrClosedPipe
		}
		k := min(uint64(len(rest)), wire.MaxFrame, p.n.window-(p.head-p.acked))
		p.head += k
		p.maxAhead = max(p.maxAhead, p.head-p.acked)
		if p.keep {
			p.all = append(p.all, rest[:k]...)
		}
		p.out = append(p.out, frame{name, p.head, append([]byte(nil), rest[:k]...)})
		rest = rest[k:]
		p.cond.Broadcast()
	}
	return len(b), nil
}

func (p *program) notice(v wire.Notice) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.notices = append(p.notices, v)
	p.cond.Broadcast()
}

func (p *program) end(e wire.Exit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.exit == nil {
		p.exit = &e
	}
	p.cond.Broadcast()
}

// wait blocks until ok, which is called with the lock held, or the exit.
func (p *program) wait(ok func() bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !ok() && p.exit == nil {
		p.cond.Wait()
	}
}

func (p *program) written() uint64 { return p.accepted + p.foreign - uint64(p.in.Len()) }

// do applies one operation.
func (p *program) do(sh *wire.Shell) (wire.Answer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.cond.Broadcast()
	if sh.Ack > p.acked {
		p.acked = min(sh.Ack, p.head)
	}
	for len(p.out) > 0 && p.out[0].end <= p.acked && p.sent > 0 {
		p.out = p.out[1:]
		p.sent--
	}
	if p.exit != nil && sh.Op != wire.OpClose {
		return wire.Answer{}, errors.New("the session has ended")
	}
	switch sh.Op {
	case wire.OpAck:
		p.acks++
	case wire.OpInput:
		if err := p.input(sh); err != nil {
			return wire.Answer{}, err
		}
	default:
		if sh.Seq > p.seq {
			p.seq = sh.Seq
			p.ops = append(p.ops, *sh)
			if sh.Op == wire.OpResize {
				p.cols, p.rows = sh.Cols, sh.Rows
			}
		}
		if sh.Op == wire.OpClose && p.exit == nil {
			p.exit = &wire.Exit{Code: 129, Signal: "HUP", Reason: wire.ReasonClosed}
		}
	}
	return wire.Answer{Offset: p.accepted, Room: p.limit() - p.accepted, Seq: p.seq}, nil
}

func (p *program) limit() uint64 { return p.written() + p.n.room }

func (p *program) input(sh *wire.Shell) error {
	end := sh.Offset + uint64(len(sh.Data))
	if end > p.limit() {
		return &beyondError{p.accepted, p.limit() - p.accepted}
	}
	if len(sh.Data) > 0 && end > p.accepted {
		p.early[sh.Offset] = string(sh.Data)
	}
	if sh.EOF {
		p.earlyEOF = end + 1
	}
	for moved := true; moved; {
		moved = false
		for at, data := range p.early {
			if at > p.accepted {
				continue
			}
			delete(p.early, at)
			if end := at + uint64(len(data)); end > p.accepted {
				p.in.WriteString(data[p.accepted-at:])
				p.accepted = end
				moved = true
			}
		}
	}
	p.eof = p.eof || p.earlyEOF == p.accepted+1
	return nil
}

// stream writes the session's events until its exit, another stream, or the
// client's end.
func (p *program) stream(r *http.Request, w *sse.Writer, info wire.Session, gen int) {
	data, _ := json.Marshal(info)
	if w.Event(wire.EventSession, sse.NoID, data) != nil || w.Flush() != nil {
		return
	}
	defer p.wakeWith(r)()
	for r.Context().Err() == nil {
		done := p.collect(r, w, gen)
		if w.Flush() != nil || done {
			return
		}
	}
}

// wakeWith wakes who waits when a request ends.
func (p *program) wakeWith(r *http.Request) (stop func() bool) {
	return context.AfterFunc(r.Context(), func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.cond.Broadcast()
	})
}

// collect writes what there is to tell, and reports whether that was the exit.
// It does not write while it holds the lock: a client that does not read would
// hold up the requests too.
func (p *program) collect(r *http.Request, w *sse.Writer, gen int) (done bool) {
	var frames []frame
	var events []frame
	add := func(name string, v any) {
		data, _ := json.Marshal(v)
		events = append(events, frame{name: name, raw: data})
	}
	p.mu.Lock()
	for {
		if p.gen != gen {
			p.mu.Unlock()
			_ = w.Event(wire.EventReplaced, sse.NoID, []byte("{}"))
			return true
		}
		frames = p.out[p.sent:len(p.out):len(p.out)]
		p.sent = len(p.out)
		for _, v := range p.notices {
			add(wire.EventNotice, v)
		}
		p.notices = nil
		// Room is told of when a quarter of the window came free.
		if at := p.written(); !p.n.quiet && at-p.told >= p.n.room/4 {
			p.told = at
			add(wire.EventInput, wire.InputState{Offset: at, Room: p.limit() - p.accepted})
		}
		if len(frames) > 0 || len(events) > 0 || r.Context().Err() != nil {
			break
		}
		if p.exit != nil {
			add(wire.EventExit, p.exit)
			done = true
			break
		}
		p.cond.Wait()
	}
	p.mu.Unlock()
	for _, f := range frames {
		_ = w.Output(f.name, f.end, f.raw)
		if p.n.cut != nil && p.n.cut() {
			_ = w.Flush()
			panic(http.ErrAbortHandler)
		}
	}
	for _, e := range events {
		_ = w.Event(e.name, sse.NoID, e.raw)
	}
	return done
}
