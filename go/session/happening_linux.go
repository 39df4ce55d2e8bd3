package session

import (
	"cmp"
	"slices"
	"strings"
	"time"
	"unicode"

	"etcha/go/authz"
	"etcha/go/record"
	"etcha/go/wire"
)

// Kind is what happened to a session.
type Kind string

// Kinds of happenings.
const (
	Opened     Kind = "opened"     // by its opener; the program runs
	Attached   Kind = "attached"   // somebody came back to it, or took it over
	Detached   Kind = "detached"   // nobody is attached any more
	Watched    Kind = "watched"    // somebody began to watch
	Joined     Kind = "joined"     // somebody joined
	Left       Kind = "left"       // who watched or had joined is gone
	Killed     Kind = "killed"     // an operator asked for its end
	Ended      Kind = "ended"      // everything of it is gone; Exit says how
	Recorded   Kind = "recorded"   // a recording is complete as Recording says, or, with Err, as far as it got
	Unrecorded Kind = "unrecorded" // it is not recorded, though it should be; Err says why
	Changed    Kind = "changed"    // something else of Info
)

// Happening is something that happened to a session.
type Happening struct {
	Kind      Kind
	Info      wire.SessionInfo // after it
	By        authz.Identity   // who did it; the zero one: nobody
	Grant     authz.Grant      // Opened: what it was opened by
	Exit      *wire.Exit       // Ended
	Err       error            // Unrecorded, Recorded
	Recording *record.Summary  // Recorded
	Dropped   uint64           // Attached: output bytes that were lost to the client
}

// happen tells the observer, one happening of a session after the other. It must
// not be called with the session's locks held.
func (s *Session) happen(h Happening) {
	if s.r.o.Observe == nil {
		return
	}
	s.observing.Lock()
	defer s.observing.Unlock()
	h.Info = s.Info()
	s.r.o.Observe(h)
}

// Info describes the session as it is now.
func (s *Session) Info() wire.SessionInfo {
	st := s.state()
	s.mu.Lock()
	defer s.mu.Unlock()
	rec := s.memo
	info := wire.SessionInfo{
		Session: s.id, Source: s.source, Process: rec.Grant.Process, Title: rec.Title, User: s.user,
		Key: keyName(s.opener.Key), Subject: s.opener.Subject, Addr: addrText(s.opener),
		Started: s.started.UnixMilli(), State: wire.SessionDetached, Since: s.since.UnixMilli(),
		Active: st.Activity.UnixMilli(), Terminal: s.terminal, Recording: s.recording.mode(), BreakGlass: s.breakGlass,
		Input: st.Accepted, Output: st.Head,
	}
	if s.shell.MaxAge > 0 {
		info.EndsAt = s.started.Add(s.shell.MaxAge).UnixMilli()
	}
	for _, v := range s.viewers {
		info.Members = append(info.Members, v.member())
	}
	switch {
	case st.Exit != nil:
		x := publicExit(st.Exit)
		info.State, info.Exit = wire.SessionEnded, &x
	case s.stream != nil:
		info.State = wire.SessionAttached
	}
	return info
}

// List describes the sessions that id may list, newest first.
func (r *Registry) List(p *authz.Policy, id authz.Identity, now time.Time) []wire.SessionInfo {
	var list []wire.SessionInfo
	for _, s := range r.all() {
		if p.Act(id, wire.OpList, s.Record(), r.context(now)) == nil {
			info := s.Info()
			info.Own = s.opener.Key.Equal(id.Key)
			list = append(list, info)
		}
	}
	slices.SortFunc(list, func(a, b wire.SessionInfo) int {
		return cmp.Or(cmp.Compare(b.Started, a.Started), strings.Compare(a.Session, b.Session))
	})
	return list
}

// Kill ends the session for by, whom the policy permits it: whoever is attached
// is told who does so. The refusal is of the code ended.
func (s *Session) Kill(by authz.Identity) error {
	if s.state().Exit != nil {
		return errEnded()
	}
	s.log.Info("session is killed", "peer", by.Addr, "subject", by.Subject)
	s.farewell(wire.NoticeKilled, who(by)+" ends the session")
	s.recording.mark("killed: " + who(by))
	s.happen(Happening{Kind: Killed, By: by})
	s.endFor(wire.ReasonKilled)
	return nil
}

// context is where and when the registry asks a policy about a running session.
func (r *Registry) context(now time.Time) authz.Context {
	return authz.Context{Node: r.o.NodeID, Now: now}
}

// mayAct asks the newest policy whether id may do op with the session of a
// record. Before the registry was told any, nobody may.
func (r *Registry) mayAct(id authz.Identity, op wire.Op, rec authz.Record) error {
	r.mu.Lock()
	policy := r.policy
	r.mu.Unlock()
	if policy == nil {
		return errNotFound()
	}
	return policy.Act(id, op, rec, r.context(r.o.Now()))
}

// who names somebody to people. The subject is the client's own word.
func who(id authz.Identity) string {
	text := "key " + keyName(id.Key)
	if id.Subject != "" {
		text = clean(id.Subject) + " (" + text + ")"
	}
	if id.Addr.IsValid() {
		text += " from " + id.Addr.String()
	}
	return text
}

// clean makes a client's text one that no terminal obeys.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(text, "\ufffd"))
}

func addrText(id authz.Identity) string {
	if !id.Addr.IsValid() {
		return ""
	}
	return id.Addr.String()
}

// say tells everybody attached something, but not the one named.
func (s *Session) say(code wire.NoticeCode, message string, but *Viewer) {
	s.mu.Lock()
	if s.stream != nil {
		s.notices = keepNotices(append(s.notices, wire.Notice{Code: code, Message: message}))
	}
	s.mu.Unlock()
	s.tellViewers(code, message, but)
	poke(s.kick)
}

// tellViewers tells those beside the owner something.
func (s *Session) tellViewers(code wire.NoticeCode, message string, but *Viewer) {
	s.mu.Lock()
	for _, v := range s.viewers {
		if v != but {
			v.notices = keepNotices(append(v.notices, wire.Notice{Code: code, Message: message}))
		}
	}
	s.mu.Unlock()
	s.readers.rouse()
}

// farewell tells everybody attached something that whoever attaches later must
// know as well.
func (s *Session) farewell(code wire.NoticeCode, message string) {
	s.mu.Lock()
	s.epitaph = keepNotices(append(s.epitaph, wire.Notice{Code: code, Message: message}))
	s.mu.Unlock()
	s.say(code, message, nil)
}

// announce tells everybody attached something, and while nobody is whoever
// attaches.
func (s *Session) announce(code wire.NoticeCode, message string) {
	s.mu.Lock()
	away := s.stream == nil
	s.mu.Unlock()
	if away {
		s.farewell(code, message)
		return
	}
	s.say(code, message, nil)
}

// maxNotices bounds those that wait for a client that does not read.
const maxNotices = 32

// keepNotices drops the oldest beyond the bound.
func keepNotices(all []wire.Notice) []wire.Notice {
	return all[max(0, len(all)-maxNotices):]
}
