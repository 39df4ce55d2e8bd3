package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"etcha/go/client"
	"etcha/go/errs"
	"etcha/go/wire"
)

// A session is left with its last input on its way; another client goes on with
// it, by a key of its own.
func TestDetachAndAttach(t *testing.T) {
	each(t, func(t *testing.T, how over) {
		n := newNode(t, hello).start(how)
		first := newBuffer()
		s := open(t, newClient(t, n.options()), wire.Shell{PTY: true, Cols: 80, Rows: 24, Detach: true}, first, nil)
		first.waitFor(5)
		writePieces(t, s, "typed")
		if err := s.Detach(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Wait(); !errors.Is(err, client.ErrDetached) || errs.ExitOf(err) == errs.ExitTransport {
			t.Errorf("wait: %v", err)
		}
		if err := s.Close(); err != nil || n.asked(wire.OpClose) != 0 {
			t.Errorf("close after detach: %v, %d requests", err, n.asked(wire.OpClose))
		}
		for _, from := range []string{"", source} {
			second := newBuffer()
			r := client.AttachRequest{Source: from, Session: s.ID(), Cols: 100, Rows: 30}
			again, err := newClient(t, n.options()).Attach(context.Background(), r, second, nil)
			if err != nil {
				t.Fatal(err)
			}
			writePieces(t, again, "more")
			for !strings.HasSuffix(second.String(), "more") {
				second.waitFor(len(second.String()) + 1)
			}
			if again.ID() != s.ID() || !strings.Contains("hellotypedmoremore", second.String()) {
				t.Errorf("output %q", second.String())
			}
			if err := again.CloseWrite(); err == nil {
				t.Error("the input of a terminal was closed")
			}
			if err := again.Detach(); err != nil {
				t.Fatal(err)
			}
		}
		if !n.opens()[0].Shell.Detach || n.locked(func() uint64 { return n.only().accepted }) != 13 {
			t.Error("not all input arrived, or the session was not opened to be left")
		}
	})
}

// Who comes new to a session does not know how much was typed before. Somebody in
// the path who says that it was less has nothing typed: the beginning would be
// taken for what the node has, and left out.
func TestAttachWithLessInput(t *testing.T) {
	n := newNode(t, cat).start(overHTTP2)
	s := open(t, newClient(t, n.options()), wire.Shell{Detach: true}, nil, nil)
	writePieces(t, s, "typed")
	if err := s.Detach(); err != nil {
		t.Fatal(err)
	}
	inputs := n.asked(wire.OpInput)
	n.editInfo = func(info *wire.Session) { info.InputOffset -= 3 }
	_, err := newClient(t, n.options()).Attach(context.Background(), client.AttachRequest{Session: s.ID()}, nil, nil)
	if errs.CodeOf(err) != client.CodeProof {
		t.Errorf("attach: %v", err)
	}
	if n.asked(wire.OpInput) != inputs {
		t.Error("input was sent")
	}
	n.editInfo = nil
	again, err := newClient(t, n.options()).Attach(context.Background(), client.AttachRequest{Session: s.ID()}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	mustExit(t, again, exited)
}

// Who has taken a session over ends the other client's retries.
func TestTakenOver(t *testing.T) {
	n := newNode(t, cat).start(overHTTP2)
	s := open(t, newClient(t, n.options()), wire.Shell{}, nil, nil)
	other, err := newClient(t, n.options()).Attach(context.Background(), client.AttachRequest{Session: s.ID()}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Wait(); !errors.Is(err, client.ErrReplaced) || !strings.Contains(errs.HintOf(err), s.ID()) {
		t.Errorf("wait: %v, hint %q", err, errs.HintOf(err))
	}
	if err := other.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	mustExit(t, other, exited)
}

// Input that cannot be delivered is told of when the session is left.
func TestDetachWithoutANode(t *testing.T) {
	n := newNode(t, hello)
	n.fault = times(1<<30, wire.OpInput, html(502))
	n.editInfo = patient
	n.start(overHTTP2)
	c := newClient(t, n.options())
	c.ShortEnd(50 * time.Millisecond)
	s := open(t, c, wire.Shell{}, nil, nil)
	writePieces(t, s, "typed")
	if err := s.Detach(); err == nil || !strings.Contains(err.Error(), "5 bytes") {
		t.Errorf("detach: %v", err)
	}
}

func TestWatch(t *testing.T) {
	each(t, func(t *testing.T, how over) {
		n := newNode(t, func(p *program) wire.Exit {
			p.mu.Lock()
			p.keep, p.skipTo = true, 3
			p.mu.Unlock()
			_, _ = io.Copy(p, p)
			return exited
		})
		n.start(how)
		own := newBuffer()
		owner := open(t, newClient(t, n.options()), wire.Shell{}, own, nil)
		writePieces(t, owner, "abcdef")
		own.waitFor(6)
		o, e := n.options(), &events{}
		o.Notify = e.add
		out := newBuffer()
		s, err := newClient(t, o).Watch(context.Background(), owner.ID(), out, nil)
		if err != nil {
			t.Fatal(err)
		}
		out.waitFor(3)
		if _, err := s.Write([]byte("x")); !errors.Is(err, client.ErrReadOnly) {
			t.Errorf("write: %v", err)
		}
		if err := s.Signal("INT"); !errors.Is(err, client.ErrReadOnly) {
			t.Errorf("signal: %v", err)
		}
		if err := s.Resize(1, 1); err != nil {
			t.Errorf("resize: %v", err)
		}
		if got := out.String(); got != "def" {
			t.Errorf("output %q", got)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Wait(); !errors.Is(err, client.ErrDetached) {
			t.Errorf("wait: %v", err)
		}
		if !slices.Equal(e.kinds(), []client.EventKind{client.EventGap, client.EventResize}) || e.all[0].To != 3 || e.all[1].Cols != 7 {
			t.Errorf("events %+v", e.all)
		}
		if err := newClient(t, n.options()).Kill(context.Background(), owner.ID()); err != nil {
			t.Fatal(err)
		}
		mustExit(t, owner, wire.Exit{Code: 137, Signal: "KILL", Reason: wire.ReasonKilled})
	})
}

// A viewer's stream is cut again and again: it sees each byte once all the same.
func TestWatchAcrossCuts(t *testing.T) {
	n := newNode(t, func(p *program) wire.Exit {
		p.mu.Lock()
		p.keep = true
		p.mu.Unlock()
		_, _ = io.Copy(p, p)
		return count(2000)(p)
	})
	var cuts atomic.Int32
	chance := newChance(2)
	n.cutShow = func() bool { return chance.hit(50) && cuts.Add(1) <= 50 }
	n.start(overHTTP2)
	owner := open(t, newClient(t, n.options()), wire.Shell{}, nil, nil)
	out := newBuffer()
	s, err := newClient(t, n.options()).Watch(context.Background(), owner.ID(), out, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	mustExit(t, s, exited)
	if out.String() != counted(2000) || n.asked(wire.OpWatch) < 2 {
		t.Errorf("%d bytes after %d watches", len(out.String()), n.asked(wire.OpWatch))
	}
}

// Who joins has an own key and numbering; what was under way at a loss is not
// typed twice.
func TestJoin(t *testing.T) {
	n := newNode(t, func(p *program) wire.Exit {
		p.mu.Lock()
		p.keep = true
		p.mu.Unlock()
		_, _ = io.Copy(p, p)
		return exited
	})
	var cut atomic.Bool
	cut.Store(true)
	n.cutShow = func() bool { return cut.CompareAndSwap(false, true) }
	n.start(overHTTP2)
	owner := open(t, newClient(t, n.options()), wire.Shell{}, nil, nil)
	writePieces(t, owner, "owner,")
	n.waitAccepted(6)
	out := newBuffer()
	s, err := newClient(t, n.options()).Join(context.Background(), owner.ID(), out, nil)
	if err != nil {
		t.Fatal(err)
	}
	writePieces(t, s, "one,")
	out.waitFor(10)
	if err := s.Signal("WINCH"); err != nil { // "one," is answered
		t.Fatal(err)
	}
	cut.Store(false)
	writePieces(t, owner, "cut,")
	out.waitFor(14)
	for n.asked(wire.OpJoin) < 2 {
		writePieces(t, owner, ".")
		out.waitFor(len(out.String()) + 1)
	}
	writePieces(t, s, "two,")
	for !strings.HasSuffix(out.String(), "two,") {
		out.waitFor(len(out.String()) + 1)
	}
	if err := s.CloseWrite(); err == nil {
		t.Error("a joiner closed the input")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Wait(); !errors.Is(err, client.ErrDetached) {
		t.Errorf("wait: %v", err)
	}
	if text := out.String(); !strings.HasPrefix(text, "owner,one,") || strings.Count(text, "one,") != 1 || strings.Count(text, "two,") != 1 {
		t.Errorf("output %q", text)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.guests) != 2 || n.guests[0].key.Equal(n.guests[1].key) || !n.guests[1].left {
		t.Errorf("guests %+v", n.guests)
	}
}

func TestListsAndSources(t *testing.T) {
	n := newNode(t, cat).start(overHTTP2)
	n.fault = times(1, wire.OpList, refuse(wire.CodeExpired))
	c := newClient(t, n.options())
	s := open(t, c, wire.Shell{}, nil, nil)
	list, err := c.Sessions(context.Background())
	if err != nil || len(list.Sessions) != 1 || list.Sessions[0].Session != s.ID() || list.Sessions[0].Title != "a[2Jb" || list.Node != n.identity.ID() {
		t.Errorf("sessions %+v: %v", list, err)
	} else if i := list.Sessions[0]; i.State != wire.SessionAttached || i.Members[0].Role != wire.RoleViewer {
		t.Errorf("session %+v", i)
	}
	sources, err := c.Sources(context.Background())
	if err != nil || len(sources.Sources) != 1 || sources.Sources[0].Denied != "not now" || sources.Sources[0].Obscure != wire.ObscureChaff || sources.Node != n.identity.ID() {
		t.Errorf("sources %+v: %v", sources, err)
	}
	for name, f := range map[string]func() error{
		"kill": func() error { return c.Kill(context.Background(), "none") },
		"attach": func() error {
			_, err := c.Attach(context.Background(), client.AttachRequest{Session: "none"}, nil, nil)
			return err
		},
		"watch": func() error { _, err := c.Watch(context.Background(), "none", nil, nil); return err },
		"join":  func() error { _, err := c.Join(context.Background(), "none", nil, nil); return err },
	} {
		if err := f(); errs.CodeOf(err) != wire.CodeNotFound || errs.ExitOf(err) != errs.ExitTransport {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := c.Kill(context.Background(), ""); errs.ExitOf(err) != errs.ExitUsage {
		t.Errorf("kill nothing: %v", err)
	}
}

// The feed begins with the whole list, again after each loss, and ends with the
// node's refusal, its context or its function.
func TestFeed(t *testing.T) {
	n := newNode(t, cat).start(overHTTP1)
	o, e := n.options(), &events{}
	o.Notify = e.add
	c := newClient(t, o)
	enough := errors.New("enough")
	var seen []string
	err := c.Feed(context.Background(), func(name string, list *wire.SessionList, info *wire.SessionInfo) error {
		seen = append(seen, name)
		if (list != nil) != (name == wire.EventSessions) || info != nil && (info.Session != "s" || info.User != "u") {
			t.Errorf("%s: %+v, %+v", name, list, info)
		}
		if len(seen) == 6 {
			return enough
		}
		return nil
	})
	want := []string{wire.EventSessions, wire.EventChanged, wire.EventEnded}
	if !errors.Is(err, enough) || !slices.Equal(seen, append(slices.Clone(want), want...)) {
		t.Errorf("feed: %v, %v", err, seen)
	}
	if !slices.Equal(e.kinds(), []client.EventKind{client.EventLost, client.EventBack}) {
		t.Errorf("events %+v", e.all)
	}
	lists := 0
	n.fault = func(w http.ResponseWriter, cl *wire.Claims) bool {
		lists++
		return lists > 1 && refuse(wire.CodeDenied)(w, cl)
	}
	err = c.Feed(context.Background(), func(string, *wire.SessionList, *wire.SessionInfo) error { return nil })
	if errs.CodeOf(err) != wire.CodeDenied || lists != 2 {
		t.Errorf("feed: %v after %d requests", err, lists)
	}
	n.fault = nil
	ctx, cancel := context.WithCancelCause(context.Background())
	err = c.Feed(ctx, func(string, *wire.SessionList, *wire.SessionInfo) error { cancel(enough); return nil })
	if !errors.Is(err, enough) {
		t.Errorf("feed: %v", err)
	}
}

// approval refuses an open until it brings k approvals.
func approval(n *node, k int, edit func(*wire.ApprovalNeeded)) func(http.ResponseWriter, *wire.Claims) bool {
	return func(w http.ResponseWriter, c *wire.Claims) bool {
		if c.Shell.Op != wire.OpOpen || len(c.Approvals) >= k {
			return false
		}
		need := wire.ApprovalNeeded{
			Digest: wire.NewOpenRequest(n.identity.ID(), n.opener.Public().Thumbprint(), *c).Digest(),
			Need:   k, Have: len(c.Approvals),
		}
		if edit != nil {
			edit(&need)
		}
		problem(w, wire.Problem{Code: wire.CodeApproval, Title: "approval", Approval: &need})
		return true
	}
}

func TestApprovals(t *testing.T) {
	n := newNode(t, cat)
	n.fault = approval(n, 2, nil)
	n.start(overHTTP2)
	o := n.options()
	var asked []client.ApprovalNeeded
	o.Approve = func(_ context.Context, need client.ApprovalNeeded) ([]string, error) {
		asked = append(asked, need)
		var all []string
		for i := range asked {
			all = append(all, fmt.Sprintf("approval-%d", i))
		}
		return all, nil
	}
	open(t, newClient(t, o), wire.Shell{Command: "id", Env: map[string]string{"LANG": "C"}}, nil, nil)
	if len(asked) != 2 || asked[0].Digest != asked[1].Digest || asked[0].Digest != asked[0].Request.Digest() ||
		asked[0].Request.Command != "id" || asked[1].Need != 2 || asked[1].Have != 1 {
		t.Errorf("asked %+v", asked)
	}
	opens := n.opens()
	last := opens[len(opens)-1]
	if len(opens) != 3 || last.Confirm.JWK.X != opens[0].Confirm.JWK.X || last.ID == opens[0].ID || !slices.Equal(last.Approvals, []string{"approval-0", "approval-1"}) {
		t.Errorf("opens %+v", opens)
	}
}

func TestApprovalsThatAreNot(t *testing.T) {
	gone := errors.New("nobody is there")
	for name, tt := range map[string]struct {
		approve func(context.Context, client.ApprovalNeeded) ([]string, error)
		edit    func(*wire.ApprovalNeeded)
		code    wire.Code
		is      error
	}{
		"not asked for": {nil, nil, wire.CodeApproval, nil},
		"given up":      {func(context.Context, client.ApprovalNeeded) ([]string, error) { return nil, gone }, nil, wire.CodeInternal, gone},
		"none":          {func(context.Context, client.ApprovalNeeded) ([]string, error) { return nil, nil }, nil, wire.CodeInternal, nil},
		"too many":      {func(context.Context, client.ApprovalNeeded) ([]string, error) { return make([]string, 9), nil }, nil, wire.CodeInternal, nil},
		"of another request": {
			func(context.Context, client.ApprovalNeeded) ([]string, error) { return []string{"a"}, nil },
			func(a *wire.ApprovalNeeded) { a.Digest = "SHA256:other" }, wire.CodeApproval, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t, cat)
			n.fault = approval(n, 1, tt.edit)
			n.start(overHTTP2)
			o := n.options()
			o.Approve = tt.approve
			_, err := newClient(t, o).Open(context.Background(), source, wire.Shell{}, nil, nil)
			if err == nil || errs.CodeOf(err) != tt.code || tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("open: %v", err)
			}
			if len(n.opens()) != 1 {
				t.Errorf("%d opens", len(n.opens()))
			}
		})
	}
}
