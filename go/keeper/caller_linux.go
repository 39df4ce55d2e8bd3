package keeper

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// caller is the daemon's end of a connection: it sends requests and one
// goroutine, run, receives.
type caller struct {
	*link
	peer hello // of the keeper

	mu      sync.Mutex
	waiting map[uint32]chan answer // by request id
	last    uint32
	err     error // set when lost

	done chan struct{} // closed when the connection is lost
}

// answer is a result, or the error that came instead.
type answer struct {
	body []byte
	err  error
}

func newCaller(l *link) *caller {
	return &caller{link: l, waiting: map[uint32]chan answer{}, done: make(chan struct{})}
}

// ask sends a request and receives its answer, before run has begun.
func (c *caller) ask(o op, message any) ([]byte, error) {
	c.last++
	if err := c.sendJSON(o, c.last, message); err != nil {
		return nil, err
	}
	for {
		f, err := c.in.next()
		switch {
		case err != nil:
			return nil, err
		case f.op != opAnswer || f.id != c.last:
		case f.flags&flagFailed != 0:
			return nil, failed(f.body)
		default:
			return f.body, nil
		}
	}
}

// run receives until the connection ends. Other frames than answers go to
// event; last is called before done is closed.
func (c *caller) run(event func(op), last func()) {
	err := c.receive(event)
	c.close()
	c.in.release()
	c.mu.Lock()
	if c.err == nil {
		c.err = fmt.Errorf("%w: %w", ErrLost, err)
	}
	for _, ch := range c.waiting {
		ch <- answer{err: c.err}
	}
	c.waiting = nil
	c.mu.Unlock()
	last()
	close(c.done)
}

func (c *caller) receive(event func(op)) error {
	for {
		f, err := c.in.next()
		if err != nil {
			return err
		}
		if f.op != opAnswer {
			event(f.op)
			continue
		}
		c.mu.Lock()
		ch := c.waiting[f.id]
		delete(c.waiting, f.id)
		c.mu.Unlock()
		if ch == nil {
			continue // its caller gave up
		}
		if f.flags&flagFailed != 0 {
			ch <- answer{err: failed(f.body)}
		} else {
			ch <- answer{body: append([]byte(nil), f.body...)}
		}
	}
}

// call sends a request while run receives, and waits for its answer. When the
// context ends first the request may have been served all the same.
func (c *caller) call(ctx context.Context, o op, flags uint8, body []byte) ([]byte, error) {
	return c.await(ctx, func(id uint32) error { return c.send(o, flags, id, body, nil) })
}

// await sends a request by a function and waits for its answer.
func (c *caller) await(ctx context.Context, send func(id uint32) error) ([]byte, error) {
	ch := make(chan answer, 1)
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return nil, c.err
	}
	c.last++
	id := c.last
	c.waiting[id] = ch
	c.mu.Unlock()
	if err := send(id); err != nil {
		c.give(id)
		return nil, fmt.Errorf("%w: %w", ErrLost, err)
	}
	select {
	case a := <-ch:
		return a.body, a.err
	case <-ctx.Done():
		c.give(id)
		return nil, context.Cause(ctx)
	}
}

// callJSON is call with a message.
func (c *caller) callJSON(ctx context.Context, o op, message any) ([]byte, error) {
	body, err := encode(o, message)
	if err != nil {
		return nil, err
	}
	return c.call(ctx, o, 0, body)
}

// give up waiting for an answer.
func (c *caller) give(id uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, id)
}

// lose says why the connection is about to be lost, where that is known.
func (c *caller) lose(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = why
	}
}

// lost is why the connection is of no use any more; nil while it is.
func (c *caller) lost() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// isAway reports whether err means that nobody is there to talk to.
func isAway(err error) bool { return errors.Is(err, ErrNone) || errors.Is(err, ErrLost) }
