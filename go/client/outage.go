package client

import (
	"context"
	"fmt"
	"time"
)

// What the input does when its session loses the link to the node, finds
// another, and is left. input.mu is held unless said otherwise.

// lost books that nothing is under way any more: it is to be sent again, to the
// node the same bytes at the same offsets.
func (in *input) lost() {
	for _, c := range in.chunks {
		if c.state != waiting {
			in.again(c)
		}
	}
	in.flight = min(in.flight, firstFlight)
}

// resume books what the node has accepted when another link begins. For a part
// in another's session, which is a new one there, the numbering begins anew; what
// was sent already could arrive twice then, so that it is dropped, and counted.
func (in *input) resume(offset uint64, anew bool) (dropped int, err error) {
	if anew {
		return in.renumber(offset), nil
	}
	if offset < in.accepted || offset > in.next {
		return 0, &brokenError{fmt.Sprintf("the node has %d bytes of input, after it had accepted %d of %d", offset, in.accepted, in.next)}
	}
	for _, c := range in.chunks {
		c.since = time.Time{}
	}
	in.learn(offset, 0)
	return 0, nil
}

// renumber keeps what was never sent, from offset on.
func (in *input) renumber(offset uint64) (dropped int) {
	fresh := newInput(offset)
	kept := in.chunks[:0]
	in.unsent = 0
	for _, c := range in.chunks {
		if c.tries > 0 {
			dropped += len(c.data)
			continue
		}
		c.offset = fresh.next
		fresh.next = c.end()
		in.unsent += len(c.data)
		kept = append(kept, c)
	}
	in.chunks, in.next = kept, fresh.next
	in.accepted, in.written, in.room, in.limit = fresh.accepted, fresh.written, fresh.room, fresh.limit
	in.moved.Broadcast()
	return dropped
}

// flushed waits until the node has accepted all input, or ctx ends, and returns
// how many bytes it has not. It takes the lock.
func (in *input) flushed(ctx context.Context) (left int) {
	in.mu.Lock()
	defer in.mu.Unlock()
	stop := context.AfterFunc(ctx, func() {
		in.mu.Lock()
		defer in.mu.Unlock()
		in.moved.Broadcast()
	})
	defer stop()
	for in.err == nil && len(in.chunks) > 0 && ctx.Err() == nil {
		in.moved.Wait()
	}
	for _, c := range in.chunks {
		left += len(c.data)
	}
	return left
}
