package session

import (
	"context"
	"errors"
	"fmt"

	"etcha/go/authz"
	"etcha/go/keeper"
	"etcha/go/metrics"
	"etcha/go/wire"
)

// Restore finds the sessions that an earlier daemon left to the keeper. Each is
// decided about again: one that the policy does not permit, or whose record
// cannot be used, is ended, without waiting for that. The error is that of asking
// the keeper; a session that cannot be taken over is logged.
func (r *Registry) Restore(ctx context.Context, policy *authz.Policy) error {
	r.mu.Lock()
	r.policy = policy
	r.mu.Unlock()
	infos, err := r.o.Keeper.List(ctx)
	if err != nil {
		return fmt.Errorf("restore sessions: %w", err)
	}
	for _, info := range infos {
		if err := r.restore(ctx, policy, info); err != nil {
			if ctx.Err() != nil {
				return fmt.Errorf("restore sessions: %w", context.Cause(ctx))
			}
			r.o.Log.Error("session was not restored", "session", info.ID, "err", err)
		}
	}
	return nil
}

func (r *Registry) restore(ctx context.Context, policy *authz.Policy, info keeper.Info) error {
	held, err := r.o.Keeper.Adopt(ctx, info.ID)
	if errors.Is(err, keeper.ErrNotFound) {
		return nil // it ended meanwhile and was forgotten
	}
	if err != nil {
		return err
	}
	rec, err := decodeMemo(held.Info().Meta)
	if err == nil {
		grant, denied := policy.Restore(rec.Grant, r.o.Now())
		return r.resume(ctx, held, rec, grant, denied)
	}
	r.o.Log.Warn("session cannot be taken over and is ended", "source", rec.Grant.Source, "session", info.ID, "err", err)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closing {
		r.lives.Go(func() { r.abolish(held, rec) })
	}
	return nil
}

// abolish ends a session that nobody may reach any more.
func (r *Registry) abolish(held *keeper.Session, rec memo) {
	defer held.Release()
	meter := r.o.Metrics.Open(metrics.Session{
		Source: rec.Grant.Source, Addr: rec.Grant.Addr, Started: held.Info().Started, Restored: true,
	})
	if err := held.End(r.ctx, wire.ReasonPolicy); err != nil {
		r.o.Log.Error("session was not ended", "session", held.ID(), "err", err)
		meter.Leave()
		return
	}
	e := held.State().Exit
	meter.End(e.Reason, e.Survivors)
	if err := held.Forget(r.ctx); err != nil {
		r.o.Log.Warn("keeper still remembers an ended session", "session", held.ID(), "err", err)
	}
}

// resume takes a session in again, with nobody attached. One that is denied ends
// at once; its client learns why when it comes.
func (r *Registry) resume(ctx context.Context, held *keeper.Session, rec memo, grant authz.Grant, denied error) error {
	s, err := newSession(r, held, rec, settings(grant))
	if err != nil {
		return err
	}
	s.breakGlass, s.unseen = grant.BreakGlass(), denied == nil
	s.resumeRecording(rec)
	if s.shell.Discard && !s.recording.on() {
		if _, err := held.SetAttached(ctx, false); err != nil {
			held.Release()
			return err
		}
	}
	if denied != nil {
		s.endByPolicy(denied) // before the clock could give another reason
	}
	s.place = place{s.opener.Key.Thumbprint(), s.source}
	s.meter = r.o.Metrics.Open(s.metric(true))
	r.mu.Lock()
	r.take(s.place)
	r.mu.Unlock()
	if !r.add(s) {
		r.release(s.place)
		s.meter.Leave()
		s.recording.leave()
		held.Release()
		return errDraining()
	}
	if denied != nil {
		return nil
	}
	s.keepOwner(ctx)
	s.log.Info("session restored")
	s.happen(Happening{Kind: Changed})
	return nil
}

// Recheck decides about every session again, by a new policy: those that it does
// not permit are told so and end, the others take its settings on, but for what
// is recorded, which is as when they were opened. Viewers, and owners who are not
// the opener, are decided about as well. It returns when all have been told.
func (r *Registry) Recheck(policy *authz.Policy) {
	r.mu.Lock()
	r.policy = policy
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(r.ctx, adoptTime)
	defer cancel()
	for _, s := range r.all() {
		grant, err := policy.Restore(s.Record(), r.o.Now())
		if err != nil {
			s.endByPolicy(err)
			continue
		}
		s.mu.Lock()
		s.shell = settings(grant)
		s.mu.Unlock()
		poke(s.wake)
		s.keepOwner(ctx)
		s.recheckViewers()
	}
}
