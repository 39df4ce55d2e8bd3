package session

import (
	"context"
	"fmt"
	"sync"

	"etcha/go/wire"
)

// enter counts a stream; false when no more may begin.
func (r *Registry) enter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closing {
		return false
	}
	r.streams.Add(1)
	return true
}

// exit ends a stream's count.
func (r *Registry) exit() { r.streams.Done() }

func (r *Registry) isStopping() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stopping
}

// Drain leaves the sessions to the keeper: their clients are told that the
// daemon restarts, and their streams end without an exit. With the keeper dead
// their streams end with the exit that says so. When the context ends first the
// error says what was still under way; it ends by itself.
func (r *Registry) Drain(ctx context.Context) error {
	r.close(false)
	if !r.keeperDied() {
		for _, s := range r.all() {
			s.say(wire.NoticeRestarting, "the node restarts: this connection ends, the programs go on there for a while", nil)
		}
	}
	return r.depart(ctx)
}

// Stop ends all sessions, after telling their clients, and waits until each is
// gone and its exit delivered. When the context ends first, what is left goes on
// ending in the keeper.
func (r *Registry) Stop(ctx context.Context) error {
	r.close(true)
	for _, s := range r.all() {
		s.say(wire.NoticeStopping, "the node stops and ends the session", nil)
		s.endFor(wire.ReasonStopped)
	}
	err := r.wait(ctx)
	if err != nil {
		err = fmt.Errorf("end sessions: %d are left: %w", r.Count(), err)
	}
	if late := r.depart(ctx); err == nil {
		err = late
	}
	return err
}

// close lets nothing more begin.
func (r *Registry) close(stopping bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closing = true
	r.stopping = r.stopping || stopping
}

// depart ends everything that this registry has under way.
func (r *Registry) depart(ctx context.Context) error {
	r.leave()
	err := r.wait(ctx)
	r.forgetAll()
	if err != nil {
		return fmt.Errorf("leave sessions: %w", err)
	}
	return nil
}

// wait waits for lives and streams.
func (r *Registry) wait(ctx context.Context) error {
	done := make(chan struct{})
	go func() { // ends with what it waits for
		defer close(done)
		for _, wg := range []*sync.WaitGroup{&r.lives, &r.streams} {
			wg.Wait()
		}
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
