package session

import (
	"context"
	"errors"
	"fmt"
	"time"

	"etcha/go/keeper"
	"etcha/go/wire"
)

// warnBefore is how long before an end that comes by the clock the client is
// told, at most half of the time there is.
const warnBefore = time.Minute

// adoptTime bounds the attempt to find a session again whose connection broke.
const adoptTime = 5 * time.Second

// fate is how a session leaves this daemon.
type fate uint8

const (
	ended    fate = iota // everything of it is gone
	orphaned             // the keeper died
	handed               // another daemon has it, or will have
)

// live sees a session through.
func (s *Session) live() {
	if c := s.recording; c != nil {
		go c.run() // waited for below
		defer func() { <-c.done }()
	}
	switch s.await() {
	case ended:
		s.over(s.held.State().Exit)
	case orphaned:
		s.orphan()
	case handed:
		s.hand()
		return
	}
	s.settle()
}

// await waits for the session's fate, and ends the session when it must.
func (s *Session) await() fate {
	asked := false
	for {
		wait, reason := s.tick()
		if reason != "" && !asked {
			asked = true
			s.end(reason)
		}
		stop := s.wakeAfter(wait)
		select {
		case <-s.held.Ended():
		case <-s.held.Lost():
		case <-s.r.ctx.Done():
		case <-s.wake:
			stop()
			continue
		}
		stop()
		return s.fate()
	}
}

// wakeAfter sets the timer that lets live look again; 0: none.
func (s *Session) wakeAfter(wait time.Duration) (stop func()) {
	if wait <= 0 {
		return func() {}
	}
	return s.r.o.After(wait, func() { poke(s.wake) })
}

// fate tells what happened. A keeper's death is seen on several connections, in
// any order; an end comes before it.
func (s *Session) fate() fate {
	select {
	case <-s.held.Ended():
		return ended
	default:
	}
	err := s.held.Err()
	switch {
	case errors.Is(err, keeper.ErrReplaced), errors.Is(err, keeper.ErrReleased):
		return handed
	case err != nil, s.r.keeperDied():
		return orphaned
	default:
		return handed
	}
}

// keeperDied reports whether the connection to the keeper is lost.
func (r *Registry) keeperDied() bool {
	select {
	case <-r.o.Keeper.Done():
		return true
	default:
		return false
	}
}

// end ends the session whole, and waits for it. When the daemon leaves first the
// keeper goes on with it.
func (s *Session) end(reason wire.ExitReason) {
	err := s.held.End(s.r.ctx, reason)
	if err != nil && s.r.ctx.Err() == nil && s.held.Err() == nil {
		s.log.Error("session was not ended", "reason", reason, "err", err)
	}
}

// over books the end.
func (s *Session) over(e *keeper.Exit) {
	s.r.release(s.place)
	if s.remembered().Told { // by an earlier daemon, to which nobody came for the end
		s.meter.Leave()
		s.stir()
		return
	}
	s.meter.End(e.Reason, e.Survivors)
	st := s.held.State()
	s.log.Info("session ended", "reason", e.Reason, "exit", e.Code, "signal", e.Signal, "survivors", e.Survivors,
		"duration", s.r.o.Now().Sub(s.started), "input", st.Accepted, "output", st.Head)
	x := publicExit(e)
	s.happen(Happening{Kind: Ended, Exit: &x})
	s.stir()
	if s.lost.Load() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(s.r.ctx, adoptTime)
	defer cancel()
	if err := s.save(ctx, func(r *memo) { r.Told = true }); err != nil && s.held.Err() == nil && s.r.ctx.Err() == nil {
		s.log.Warn("the next daemon will tell of this end again", "err", err)
	}
}

// exitKeeper is the exit status of a session whose keeper died: 255, as for any
// loss.
const exitKeeper = 255

// orphan books the keeper's death. Should it only have broken the connection,
// the session is ended: nobody would learn how it goes on.
func (s *Session) orphan() {
	e := s.held.State().Exit
	if e == nil {
		e = &keeper.Exit{Code: exitKeeper, Reason: wire.ReasonKeeper}
		s.lost.Store(e)
	}
	ctx, cancel := context.WithTimeout(s.r.ctx, adoptTime)
	defer cancel()
	if again, err := s.r.o.Keeper.Adopt(ctx, s.id); err == nil {
		s.log.Error("connection of a session to its keeper broke; it is ended")
		if err := again.End(ctx, wire.ReasonKeeper); err != nil {
			s.log.Error("session is left to its keeper", "err", err)
		}
		again.Release()
	}
	s.over(e)
}

// hand leaves the session to another daemon.
func (s *Session) hand() {
	s.r.release(s.place)
	s.meter.Leave()
	s.depart()
}

// depart ends the streams without an exit, and gives the keeper's handle up when
// the recording has written what there is.
func (s *Session) depart() {
	s.departed.Store(true)
	s.r.remove(s)
	s.stir()
	<-s.recording.ended()
	s.held.Release()
	s.stir()
}

// viewersLast is how long those who view a session at its end have to read the
// last of it.
const viewersLast = 5 * time.Second

// settle waits until a client has learnt of the end, or none comes for it, and
// until the recording is complete.
func (s *Session) settle() {
	since := s.r.o.Now()
	leaving := s.r.ctx.Done()
	for {
		wait, done := s.conclude(since)
		if done {
			break
		}
		stop := s.wakeAfter(wait)
		select {
		case <-leaving:
			leaving = nil
			if s.lost.Load() == nil { // the next daemon finds it
				stop()
				s.depart()
				return
			}
		case <-s.wake:
		}
		stop()
	}
	s.forget()
	s.r.remember(s)
	s.stir()
}

// conclude takes what is to be remembered when the end was delivered, or nobody
// comes for it; the keeper's handle is not used any more then. Else it tells when
// to look again.
func (s *Session) conclude(ended time.Time) (wait time.Duration, done bool) {
	st := s.state()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream != nil && !s.delivered || !s.recording.over() {
		return 0, false
	}
	if len(s.viewers) > 0 { // they may have less of the output than the owner
		if wait = ended.Add(viewersLast).Sub(s.r.o.Now()); wait > 0 {
			return wait, false
		}
	}
	if !s.delivered && s.lost.Load() == nil && st.Exit.Reason != wire.ReasonLost && !s.r.isStopping() {
		since := ended
		if s.detached.After(since) {
			since = s.detached
		}
		if wait = since.Add(s.resumeFor()).Sub(s.r.o.Now()); wait > 0 {
			return wait, false
		}
	}
	s.finale.Store(newFinale(s.held, st))
	return 0, true
}

// forget has the keeper forget the session, and gives its handle up.
func (s *Session) forget() {
	if s.lost.Load() == nil && s.held.Err() == nil {
		ctx, cancel := context.WithTimeout(s.r.ctx, adoptTime)
		defer cancel()
		if err := s.held.Forget(ctx); err != nil {
			s.log.Warn("keeper still remembers an ended session", "err", err)
		}
	}
	s.held.Release()
}

// tick looks at the clock: it warns, gives the reason for which the session must
// end now, and how long until it must look again; 0: not before it is woken.
func (s *Session) tick() (wait time.Duration, reason wire.ExitReason) {
	activity := s.held.State().Activity
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason == "" {
		wait, s.reason = s.look(s.r.o.Now(), activity)
	}
	return wait, s.reason
}

// look is tick at a time, with the last activity at another. The caller holds mu.
func (s *Session) look(now, activity time.Time) (wait time.Duration, reason wire.ExitReason) {
	for _, d := range s.deadlines(activity) {
		left := d.at.Sub(now)
		if left <= 0 {
			return 0, d.reason
		}
		if d.notice != "" {
			left = s.warn(d, left, activity)
		}
		if wait == 0 || left < wait {
			wait = left
		}
	}
	return wait, ""
}

// warn tells everybody attached of an end that is near, once, and gives the time until
// the warning or, after it, the end. The caller holds mu.
func (s *Session) warn(d deadline, left time.Duration, activity time.Time) time.Duration {
	if lead := min(warnBefore, d.span/2); left > lead {
		return left - lead
	}
	told := s.toldAge
	if d.notice == wire.NoticeIdle {
		told = s.toldIdle.Equal(activity) // each silence has its own warning
	}
	if told || s.stream == nil {
		return left
	}
	if d.notice == wire.NoticeIdle {
		s.toldIdle = activity
	} else {
		s.toldAge = true
	}
	n := wire.Notice{Code: d.notice, Message: fmt.Sprintf(d.message, round(left))}
	s.notices = append(s.notices, n)
	for _, v := range s.viewers {
		v.notices = append(v.notices, n)
	}
	s.stir()
	return left
}

// resumeFor is how long the session waits for a client; for the first one at
// least as long as a request takes. The caller holds mu.
func (s *Session) resumeFor() time.Duration {
	if s.unseen {
		return max(s.shell.ResumeFor, wire.RequestRead)
	}
	return s.shell.ResumeFor
}

// deadline is an end by the clock.
type deadline struct {
	at      time.Time
	span    time.Duration
	reason  wire.ExitReason
	notice  wire.NoticeCode // "": without a warning
	message string          // with the time that is left
}

// deadlines are those that the settings give. The caller holds mu.
func (s *Session) deadlines(activity time.Time) []deadline {
	all := make([]deadline, 0, 3)
	if !s.detached.IsZero() {
		all = append(all, deadline{at: s.detached.Add(s.resumeFor()), reason: wire.ReasonLost})
	}
	if span := s.shell.IdleTimeout; span > 0 {
		all = append(all, deadline{
			activity.Add(span), span, wire.ReasonIdle, wire.NoticeIdle,
			"idle: the session ends in %s unless there is input or output",
		})
	}
	if span := s.shell.MaxAge; span > 0 {
		all = append(all, deadline{
			s.started.Add(span), span, wire.ReasonAge, wire.NoticeAge,
			"the session reaches its longest life in %s and ends then",
		})
	}
	return all
}

// round makes a time readable.
func round(d time.Duration) time.Duration { return max(d.Round(time.Second), time.Second) }
