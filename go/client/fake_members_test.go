package client_test

import (
	"encoding/json"
	"net/http"
	"strings"

	"etcha/go/errs"
	"etcha/go/sse"
	"etcha/go/token"
	"etcha/go/wire"
)

// byOpener answers requests that are about no source: by the opener's key.
func (n *node) byOpener(w http.ResponseWriter, r *http.Request, tok []byte) bool {
	path := r.URL.EscapedPath()
	session, isSession := strings.CutPrefix(path, wire.PathSessions+"/")
	if !isSession {
		session = ""
	}
	if !isSession && path != wire.PathSessions && path != wire.PathSources {
		return n.byGuest(w, path, tok)
	}
	payload, _, err := token.Verify(tok, wire.TypeRequest, []token.PublicKey{n.opener.Public()})
	c, decodeErr := token.DecodeClaims(payload)
	if err != nil || decodeErr != nil || c.Source != "" || c.Session != session || !c.Audience.Contains(n.identity.ID()) {
		problem(w, wire.Problem{Code: wire.CodeNotFound, Title: "not found"})
		return true
	}
	n.count(&c, len(tok))
	if err := token.CheckLife(c, n.clock()); err != nil || len(c.ID) < wire.MinJTI || !n.use(c.ID) {
		problem(w, wire.Problem{Code: errs.CodeOf(err), Title: "used or old"})
		return true
	}
	if n.fault != nil && n.fault(w, &c) {
		return true
	}
	switch {
	case path == wire.PathSources && c.Shell.Op == wire.OpSources:
		answerJSON(w, wire.SourceList{Node: n.identity.ID() + "\x1b", Sources: []wire.SourceInfo{{
			Source: source, Shell: true, Denied: "not\x1b now", Obscure: "cha\x1bff",
		}}})
	case path == wire.PathSessions && c.Shell.Op == wire.OpList && r.Header.Get("Accept") == wire.TypeEventStream:
		n.feed(w)
	case path == wire.PathSessions && c.Shell.Op == wire.OpList:
		answerJSON(w, n.listed())
	default:
		n.visit(w, r, &c, tok)
	}
	return true
}

func (n *node) listed() wire.SessionList {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := wire.SessionList{Node: n.identity.ID() + "\x1b"}
	for id := range n.sessions {
		list.Sessions = append(list.Sessions, wire.SessionInfo{
			Session: id, Source: source, Title: "a\x1b[2Jb", State: "att\x1bached", Members: []wire.Member{{Role: "view\x1ber"}},
		})
	}
	return list
}

// feed writes what the test gives, and breaks off.
func (n *node) feed(w http.ResponseWriter) {
	w.Header().Set("Content-Type", wire.TypeEventStream)
	out := sse.NewWriter(w, http.NewResponseController(w).Flush)
	data, _ := json.Marshal(n.listed())
	_ = out.Event(wire.EventSessions, sse.NoID, data)
	for _, name := range []string{wire.EventKeepalive, wire.EventChanged, "of the future", wire.EventEnded} {
		data, _ = json.Marshal(wire.SessionInfo{Session: "s", User: "u\x07"})
		_ = out.Event(name, sse.NoID, data)
	}
	_ = out.Flush()
	panic(http.ErrAbortHandler)
}

// visit watches, joins or kills a session.
func (n *node) visit(w http.ResponseWriter, r *http.Request, c *wire.Claims, tok []byte) {
	n.mu.Lock()
	p := n.sessions[c.Session]
	n.mu.Unlock()
	if p == nil {
		problem(w, wire.Problem{Code: wire.CodeNotFound, Title: "not found"})
		return
	}
	if c.Shell.Op == wire.OpKill {
		p.end(wire.Exit{Code: 137, Signal: "KILL", Reason: wire.ReasonKilled})
		answerJSON(w, struct{}{})
		return
	}
	info := n.describe(p, tok, 0)
	info.Role = wire.RoleViewer
	if c.Shell.Op == wire.OpJoin {
		info.Role = wire.RoleJoined
		key, err := token.ConfirmKey(c.Confirm)
		if err != nil {
			n.t.Error(err)
		}
		n.mu.Lock()
		n.guests = append(n.guests, &guest{p: p, key: key})
		n.mu.Unlock()
	}
	w.Header().Set("Content-Type", wire.TypeEventStream)
	p.show(r, sse.NewWriter(w, http.NewResponseController(w).Flush), info, c.Shell.Offset)
}

// show writes a viewer's stream: the output is all kept, for the test's length.
func (p *program) show(r *http.Request, w *sse.Writer, info wire.Session, from uint64) {
	p.mu.Lock()
	info.OutputStart = max(from, p.shownFrom)
	p.mu.Unlock()
	data, _ := json.Marshal(info)
	_ = w.Event(wire.EventSession, sse.NoID, data)
	stop := p.wakeWith(r)
	defer stop()
	for at := info.OutputStart; w.Flush() == nil && r.Context().Err() == nil; {
		p.mu.Lock()
		for uint64(len(p.all)) <= at && p.exit == nil && r.Context().Err() == nil {
			p.cond.Wait()
		}
		raw, skip, exit := p.all[at:], p.skipTo, p.exit
		p.mu.Unlock()
		if skip > at {
			gap, _ := json.Marshal(wire.Gap{From: at, To: skip})
			_ = w.Event(wire.EventGap, sse.NoID, gap)
			size, _ := json.Marshal(wire.Size{Cols: 7, Rows: 5})
			_ = w.Event(wire.EventResize, sse.NoID, size)
			at = skip
			continue
		}
		for len(raw) > 0 {
			k := min(len(raw), wire.MaxFrame)
			at += uint64(k)
			_ = w.Output(wire.EventOutput, at, raw[:k])
			raw = raw[k:]
			if p.n.cutShow != nil && p.n.cutShow() {
				_ = w.Flush()
				panic(http.ErrAbortHandler)
			}
		}
		if exit != nil {
			data, _ := json.Marshal(exit)
			_ = w.Event(wire.EventExit, sse.NoID, data)
			_ = w.Flush()
			return
		}
	}
}

// guest is who has joined a session: an own key, an own count.
type guest struct {
	p        *program
	key      token.PublicKey
	accepted uint64
	left     bool
}

// byGuest answers an operation that is signed by a guest's key.
func (n *node) byGuest(w http.ResponseWriter, path string, tok []byte) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, g := range n.guests {
		payload, _, err := token.Verify(tok, wire.TypeRequest, []token.PublicKey{g.key})
		if err != nil || path != wire.PathSession(source, g.p.id) {
			continue
		}
		c, err := token.DecodeClaims(payload)
		if err != nil {
			n.t.Error(err)
		}
		n.requests[c.Shell.Op]++
		g.do(w, c.Shell)
		return true
	}
	return false
}

func (g *guest) do(w http.ResponseWriter, sh *wire.Shell) {
	p := g.p
	p.mu.Lock()
	defer p.mu.Unlock()
	room := uint64(wire.InputWindow)
	switch {
	case sh.Op == wire.OpClose:
		g.left = true
	case sh.Op == wire.OpInput && sh.Offset > g.accepted:
		problem(w, wire.Problem{Code: wire.CodeOffset, Title: "offset", Offset: &g.accepted, Room: &room})
		return
	case sh.Op == wire.OpInput:
		if end := sh.Offset + uint64(len(sh.Data)); end > g.accepted {
			data := sh.Data[g.accepted-sh.Offset:]
			p.in.Write(data)
			p.foreign += uint64(len(data))
			g.accepted = end
		}
	}
	p.cond.Broadcast()
	answerJSON(w, wire.Answer{Offset: g.accepted, Room: room, Seq: sh.Seq})
}
