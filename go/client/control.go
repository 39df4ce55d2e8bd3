package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"etcha/go/errs"
	"etcha/go/wire"
)

// maxOrders bounds the signals that wait to be sent.
const maxOrders = 64

var (
	errTooMany = errors.New("too many signals wait to be sent")
	errUnknown = errors.New("the connection was lost before the node answered")
)

// orders are the control operations of a session that wait to be sent, one at
// a time: the node drops one that comes behind a later one.
type orders struct {
	mu    sync.Mutex
	seq   uint64 // last one given out
	queue []*order
	ask   bool // an answer of the node is wanted: its room
	err   error

	cols, rows uint16 // the terminal's size as last asked for

	wake   chan struct{} // cap 1: there may be something to do
	urgent chan struct{} // cap 1: there is an order
}

type order struct {
	sh    wire.Shell
	tries int
	done  chan error // cap 1; nil: nobody waits
}

func newOrders(seq uint64) *orders {
	return &orders{seq: seq, wake: make(chan struct{}, 1), urgent: make(chan struct{}, 1)}
}

// tick wakes the tender.
func (o *orders) tick() { poke(o.wake) }

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// push queues an order. A resize replaces one that stands at the end: when that
// is under way already, this one follows it; else it was never sent.
func (o *orders) push(n *order) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return o.err
	}
	if len(o.queue) >= maxOrders {
		return errTooMany
	}
	if n.sh.Op == wire.OpResize {
		o.cols, o.rows = n.sh.Cols, n.sh.Rows
	}
	last := len(o.queue) - 1
	if n.sh.Op == wire.OpResize && last >= 0 && o.queue[last].sh.Op == wire.OpResize {
		o.queue[last] = n
	} else {
		o.queue = append(o.queue, n)
	}
	poke(o.urgent)
	o.tick()
	return nil
}

// first gives the first order its number and returns it, nil when there is none.
func (o *orders) first() *order {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) == 0 {
		return nil
	}
	n := o.queue[0]
	if n.sh.Seq == 0 {
		o.seq++
		n.sh.Seq = o.seq
	}
	return n
}

// finished takes the first order off and tells who waits for it.
func (o *orders) finished(n *order, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) > 0 && o.queue[0] == n {
		o.queue = o.queue[1:]
		n.tell(err)
	}
}

func (n *order) tell(err error) {
	if n.done != nil {
		n.done <- err
	}
}

// next is the number for an operation that goes past the queue.
func (o *orders) next() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seq++
	return o.seq
}

// size is the terminal's size, and a number for it, for an attach; zeros while an
// operation has a number already, which a higher one would make void.
func (o *orders) size() (cols, rows uint16, seq uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.cols == 0 || o.rows == 0 || len(o.queue) > 0 && o.queue[0].sh.Seq != 0 {
		return 0, 0, 0
	}
	o.seq++
	return o.cols, o.rows, o.seq
}

// resume books the last operation that the node has applied when another link
// begins. Of one that was under way that tells what became of it; in a part
// that begins anew, nothing does, and it is not sent again.
func (o *orders) resume(seq uint64, anew bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.queue) > 0 {
		if n := o.queue[0]; n.sh.Seq != 0 && anew {
			o.queue = o.queue[1:]
			n.tell(errUnknown)
		} else if n.sh.Seq != 0 && n.sh.Seq <= seq {
			o.queue = o.queue[1:]
			n.tell(nil)
		}
	}
	if anew {
		o.seq = 0
	}
	o.seq = max(o.seq, seq)
	o.ask = true // the node's room
	o.tick()
}

func (o *orders) wantAnswer() {
	o.mu.Lock()
	o.ask = true
	o.mu.Unlock()
	o.tick()
}

func (o *orders) answered() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ask = false
}

func (o *orders) answerWanted() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ask
}

// fail ends the orders with err. Of one that is under way it is not known whether
// the program had it still: that is told what ended the session, nil for an exit.
func (o *orders) fail(err, ended error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return
	}
	o.err = err
	for _, n := range o.queue {
		if n.sh.Seq != 0 {
			n.tell(ended)
		} else {
			n.tell(err)
		}
	}
	o.queue = nil
}

// Resize tells the program its terminal's size, in characters. It returns at
// once; of several sizes that wait only the last is sent. Only the owner's size
// counts: in a session of another's this does nothing.
func (s *Session) Resize(cols, rows uint16) error {
	if s.role != wire.RoleOwner {
		return nil
	}
	if err := s.orders.push(&order{sh: wire.Shell{Op: wire.OpResize, Cols: cols, Rows: rows}}); err != nil {
		return fmt.Errorf("resize: %w", err)
	}
	return nil
}

// Signal sends a signal to the program's foreground processes and returns when
// the node has done so, or the program has ended meanwhile; while the node is
// lost it waits. Names are those of [wire.Signals], without "SIG".
func (s *Session) Signal(name string) error {
	if !wire.KnownSignal(name) {
		return errs.Usage("signal %q: not one of %v", printable(name, 50), wire.Signals())
	}
	n := &order{sh: wire.Shell{Op: wire.OpSignal, Signal: name}, done: make(chan error, 1)}
	if err := s.orders.push(n); err != nil {
		return fmt.Errorf("signal %s: %w", name, err)
	}
	if err := <-n.done; err != nil {
		return s.c.explain(err, "signal %s to session on %s", name, s.c.target)
	}
	return nil
}

// tend sends control operations and acknowledgements, one at a time: the one
// request beside those of the input.
func (s *Session) tend(l *link) {
	defer s.doneSending(l)
	var b backoff
	for !l.dead() {
		err := s.tendOne(l)
		switch {
		case errors.Is(err, errNothing):
			select {
			case <-s.orders.wake:
			case <-l.ctx.Done():
			}
		case err == nil:
			b = backoff{}
		default:
			pause := s.c.waits.after(b.next(pauseOf(err)))
			select {
			case <-pause:
			case <-s.orders.urgent:
			case <-l.ctx.Done():
			}
		}
	}
	s.orders.tick() // for the next one
}

// errNothing means that nothing is to be sent.
var errNothing = errors.New("nothing to send")

// tendOne sends what is due. An error means: pause, then again.
func (s *Session) tendOne(l *link) error {
	n := s.orders.first()
	sh := wire.Shell{Op: wire.OpAck}
	switch {
	case n != nil:
		sh = n.sh
	case !s.orders.answerWanted() && s.consumed.Load()-s.told.Load() < s.ackEvery:
		return errNothing
	}
	ans, err := s.post(l.ctx, l, sh)
	if err == nil {
		s.orders.answered()
		s.heard(ans)
	} else if l.dead() {
		return err // the next link asks what became of it
	}
	if n == nil {
		return s.unanswered(err)
	}
	n.tries++
	if err == nil || !temporary(err) || n.tries >= s.c.waits.tries && n.done != nil {
		s.orders.finished(n, err)
		switch refusal(err) {
		case wire.CodeBadRequest, wire.CodeDenied:
			return nil // only this order was wrong
		}
	}
	return s.unanswered(err)
}

// unanswered decides what the failure of a request means for the session. What
// it returns is to be tried again.
func (s *Session) unanswered(err error) error {
	switch code := refusal(err); {
	case err == nil:
		return nil
	case code == wire.CodeEnded || code == wire.CodeNotFound:
		s.ended()
	case !temporary(err):
		s.finish(wire.Exit{}, &LossError{err})
	}
	return err
}

// heard books an answer that belongs to no chunk of input.
func (s *Session) heard(ans wire.Answer) {
	s.in.mu.Lock()
	defer s.in.mu.Unlock()
	s.in.answered(nil, ans, time.Time{})
	s.launch()
}

// post sends one request inside the session, signed anew for each try that its
// refusal for the time takes.
func (s *Session) post(ctx context.Context, l *link, sh wire.Shell) (ans wire.Answer, err error) {
	err = s.c.fresh(ctx, func() error {
		ans, err = s.once(ctx, l, sh)
		return err
	})
	return ans, err
}

// sendClose tells the node to end the session, or that this part in it ends.
func (s *Session) sendClose(ctx context.Context) error {
	s.in.mu.Lock()
	l := s.last
	s.in.mu.Unlock()
	sh := wire.Shell{Op: wire.OpClose, Seq: s.orders.next()}
	for b := (backoff{}); ; {
		_, err := s.post(ctx, l, sh)
		switch code := refusal(err); {
		case err == nil, code == wire.CodeEnded, code == wire.CodeNotFound:
			return nil
		case !temporary(err) || ctx.Err() != nil:
			return err
		}
		s.c.waits.pause(ctx, b.next(pauseOf(err)))
	}
}
