package session

import (
	"testing"
	"time"

	"etcha/go/authz"
	"etcha/go/wire"
)

// TestLook: what the clock says at which time.
func TestLook(t *testing.T) {
	start := time.Unix(1_700_000_000, 0)
	at := func(d time.Duration) time.Time { return start.Add(d) }
	type step struct {
		now, activity time.Duration
		wait          time.Duration
		reason        wire.ExitReason
		notice        wire.NoticeCode
	}
	for _, c := range []struct {
		name     string
		shell    authz.Shell
		detached bool
		steps    []step
	}{
		{"nothing", authz.Shell{}, false, []step{{now: 1000 * time.Hour}}},
		{"lost", authz.Shell{ResumeFor: time.Minute}, true, []step{
			{now: 0, wait: time.Minute},
			{now: 59 * time.Second, wait: time.Second},
			{now: time.Minute, reason: wire.ReasonLost},
		}},
		{"idle", authz.Shell{IdleTimeout: 30 * time.Minute}, false, []step{
			{now: 0, wait: 29 * time.Minute},
			{now: 29 * time.Minute, wait: time.Minute, notice: wire.NoticeIdle},
			{now: 29*time.Minute + time.Second, wait: 59 * time.Second}, // told once
			{now: 29*time.Minute + 2*time.Second, activity: 29*time.Minute + time.Second, wait: 29*time.Minute - time.Second},
		}},
		{"idle again", authz.Shell{IdleTimeout: 30 * time.Minute}, false, []step{
			{now: 29 * time.Minute, wait: time.Minute, notice: wire.NoticeIdle},
			{now: 59 * time.Minute, activity: 30 * time.Minute, wait: time.Minute, notice: wire.NoticeIdle},
			{now: 60 * time.Minute, activity: 30 * time.Minute, reason: wire.ReasonIdle},
		}},
		{"short idle", authz.Shell{IdleTimeout: 20 * time.Second}, false, []step{
			{now: 0, wait: 10 * time.Second},
			{now: 10 * time.Second, wait: 10 * time.Second, notice: wire.NoticeIdle},
			{now: 20 * time.Second, reason: wire.ReasonIdle},
		}},
		{"age", authz.Shell{MaxAge: time.Hour, IdleTimeout: 10 * time.Hour}, false, []step{
			{now: 0, wait: 59 * time.Minute},
			{now: 59 * time.Minute, activity: time.Minute, wait: time.Minute, notice: wire.NoticeAge},
			{now: 59*time.Minute + time.Second, activity: 59 * time.Minute, wait: 59 * time.Second}, // told once, whatever is typed
			{now: time.Hour, activity: time.Hour, reason: wire.ReasonAge},
		}},
		{"the nearest counts", authz.Shell{ResumeFor: time.Minute, MaxAge: time.Hour, IdleTimeout: time.Hour}, true, []step{
			{now: 0, wait: time.Minute},
			{now: 2 * time.Minute, reason: wire.ReasonLost},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &Session{started: start, shell: c.shell, stream: &stream{}, kick: make(chan struct{}, 1)}
			if c.detached {
				s.stream, s.detached = nil, start
			}
			for i, st := range c.steps {
				wait, reason := s.look(at(st.now), at(st.activity))
				var notice wire.NoticeCode
				if len(s.notices) > 0 {
					notice = s.notices[0].Code
				}
				s.notices = nil
				if wait != st.wait || reason != st.reason || notice != st.notice {
					t.Errorf("step %d: wait %v, reason %q, notice %q; want %v, %q, %q", i, wait, reason, notice, st.wait, st.reason, st.notice)
				}
			}
		})
	}
}
