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
	rec, err := decodeRecord(held.Info().Meta)
	if err == nil {
		var grant authz.Grant
		if grant, err = policy.Restore(rec.Grant, r.o.Now()); err == nil {
			return r.resume(ctx, held, grant, rec)
		}
	}
	r.o.Log.Warn("session is no longer permitted", "source", rec.Grant.Source, "session", info.ID, "err", err)
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closing {
		r.lives.Go(func() { r.abolish(held, rec) })
	}
	return nil
}

// abolish ends a session that nobody may reach any more.
func (r *Registry) abolish(held *keeper.Session, rec record) {
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

// resume takes a session in again, with nobody attached.
func (r *Registry) resume(ctx context.Context, held *keeper.Session, grant authz.Grant, rec record) error {
	confirm, err := rec.confirmKey()
	if err != nil {
		return err
	}
	s := newSession(r, held, grant, rec, confirm)
	if grant.Shell().Discard {
		if _, err := held.SetAttached(ctx, false); err != nil {
			held.Release()
			return err
		}
	}
	s.place = place{s.opener.Thumbprint(), s.source}
	s.meter = r.o.Metrics.Open(s.metric(grant, true))
	r.mu.Lock()
	r.take(s.place)
	r.mu.Unlock()
	if !r.add(s) {
		r.release(s.place)
		s.meter.Leave()
		held.Release()
		return errDraining()
	}
	s.log.Info("session restored")
	return nil
}

// Recheck decides about every session again, by a new policy: those that it does
// not permit are told so and end, the others take its settings on. It returns at
// once.
func (r *Registry) Recheck(policy *authz.Policy) {
	r.mu.Lock()
	r.policy = policy
	r.mu.Unlock()
	for _, s := range r.all() {
		s.mu.Lock()
		rec := s.record.Grant
		s.mu.Unlock()
		grant, err := policy.Restore(rec, r.o.Now())
		if err != nil {
			s.endByPolicy(err)
			continue
		}
		s.mu.Lock()
		s.shell = settings(grant)
		s.mu.Unlock()
		poke(s.wake)
	}
}
