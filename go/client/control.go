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

var errTooMany = errors.New("too many signals wait to be sent")

// orders are the control operations of a session that wait to be sent, one at
// a time: the node drops one that comes behind a later one.
type orders struct {
	mu    sync.Mutex
	seq   uint64 // last one given out
	queue []*order
	ask   bool // an answer of the node is wanted: its room
	err   error

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

func (o *orders) wantAnswer() {
	o.mu.Lock()
	o.ask = true
	o.mu.Unlock()
	o.tick()
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
// once; of several sizes that wait only the last is sent.
func (s *Session) Resize(cols, rows uint16) error {
	if err := s.orders.push(&order{sh: wire.Shell{Op: wire.OpResize, Cols: cols, Rows: rows}}); err != nil {
		return fmt.Errorf("resize: %w", err)
	}
	return nil
}

// Signal sends a signal to the program's foreground processes and returns when
// the node has done so, or the program has ended meanwhile. Names are those of [wire.Signals], without "SIG".
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
func (s *Session) tend() {
	defer s.requests.Done()
	var b backoff
	for s.ctx.Err() == nil {
		err := s.tendOne()
		switch {
		case errors.Is(err, errNothing):
			select {
			case <-s.orders.wake:
			case <-s.ctx.Done():
			}
		case err == nil:
			b = backoff{}
		default:
			pause := s.c.waits.after(b.next(pauseOf(err)))
			select {
			case <-pause:
			case <-s.orders.urgent:
			case <-s.ctx.Done():
			}
		}
	}
}

// errNothing means that nothing is to be sent.
var errNothing = errors.New("nothing to send")

// tendOne sends what is due. An error means: pause, then again.
func (s *Session) tendOne() error {
	n := s.orders.first()
	sh := wire.Shell{Op: wire.OpAck}
	switch {
	case n != nil:
		sh = n.sh
	case !s.orders.answerWanted() && s.consumed.Load()-s.told.Load() < s.ackEvery:
		return errNothing
	}
	ans, err := s.post(s.ctx, sh)
	if err == nil {
		s.orders.mu.Lock()
		s.orders.ask = false
		s.orders.mu.Unlock()
		s.heard(ans)
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
func (s *Session) post(ctx context.Context, sh wire.Shell) (ans wire.Answer, err error) {
	err = s.c.fresh(ctx, func() error {
		ans, err = s.once(ctx, sh)
		return err
	})
	return ans, err
}

// sendClose tells the node to end the session.
func (s *Session) sendClose(ctx context.Context) error {
	sh := wire.Shell{Op: wire.OpClose, Seq: s.orders.next()}
	for b := (backoff{}); ; {
		_, err := s.post(ctx, sh)
		switch code := refusal(err); {
		case err == nil, code == wire.CodeEnded, code == wire.CodeNotFound:
			return nil
		case !temporary(err) || ctx.Err() != nil:
			return err
		}
		select {
		case <-s.c.waits.after(b.next(pauseOf(err))):
		case <-ctx.Done():
			return err
		}
	}
}
