package keeper

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"

	"etcha/go/pty"
	"etcha/go/wire"
)

func TestEcho(t *testing.T) {
	k, _ := newKeeper(t)
	s := start(t, k, shell(t, "echo", `stty -echo; echo ready; read a; echo "got $a"; exit 7`))
	r := follow(t, s)
	r.until("ready\r\n")
	send(t, s, []byte("hello\n"))
	exit := r.toExit()
	if want := "ready\r\ngot hello\r\n"; string(r.out[Output]) != want {
		t.Errorf("output %q, want %q", r.out[Output], want)
	}
	if exit.Code != 7 || exit.Signal != "" || exit.Reason != wire.ReasonExited {
		t.Errorf("exit %+v", exit)
	}
	awaitEnded(t, s)
	if st := s.State(); st.Exit.Survivors != 0 || st.Written != 6 || st.Accepted != 6 || st.Acked != st.Head {
		t.Errorf("state %+v", st)
	}
}

func TestExitStatus(t *testing.T) {
	k, _ := inProcess(t, nil)
	cases := map[string]struct {
		script string
		want   Exit
	}{
		"true":     {"exit 0", Exit{Reason: wire.ReasonExited}},
		"status":   {"exit 200", Exit{Code: 200, Reason: wire.ReasonExited}},
		"by-TERM":  {"kill -TERM $$", Exit{Code: 143, Signal: "TERM", Reason: wire.ReasonExited}},
		"by-KILL":  {"kill -KILL $$", Exit{Code: 137, Signal: "KILL", Reason: wire.ReasonExited}},
		"no-stdio": {"exec <&- >&- 2>&-; exit 3", Exit{Code: 3, Reason: wire.ReasonExited}},
	}
	for name, c := range cases {
		for _, terminal := range []bool{true, false} {
			r := shell(t, fmt.Sprintf("%s-%v", name, terminal), c.script)
			r.Spec.Terminal = terminal
			if got := follow(t, start(t, k, r)).toExit(); got != c.want {
				t.Errorf("%s, terminal %v: %+v, want %+v", name, terminal, got, c.want)
			}
		}
	}
}

func TestStartFails(t *testing.T) {
	k, _ := inProcess(t, nil)
	r := shell(t, "none", "")
	r.Spec.Argv = []string{"/does/not/exist"}
	_, err := k.Start(testContext(t), r)
	var se *pty.StartError
	if !errors.As(err, &se) || se.Item != "/does/not/exist" || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing program: %v", err)
	}
	start(t, k, shell(t, "one", "cat"))
	if _, err := k.Start(testContext(t), shell(t, "one", "cat")); !errors.Is(err, ErrExists) {
		t.Errorf("an ID twice: %v", err)
	}
	if _, err := k.Adopt(testContext(t), "none"); !errors.Is(err, ErrNotFound) {
		t.Errorf("adopt what never started: %v", err)
	}
	if list, err := k.List(testContext(t)); err != nil || len(list) != 1 || list[0].ID != "one" {
		t.Errorf("list: %v %v", list, err)
	}
}

// TestControl resizes and signals, each sequence number once.
func TestControl(t *testing.T) {
	k, _ := inProcess(t, nil)
	s := start(t, k, shell(t, "control",
		`stty -echo; trap 'stty size' WINCH; trap 'echo usr1' USR1; trap 'echo term; exit 9' TERM; echo ready; while :; do read x; done`))
	r := follow(t, s)
	r.until("ready")
	ctx := testContext(t)
	check := func(st State, err error, seq uint64) {
		t.Helper()
		if err != nil || st.Seq != seq {
			t.Fatalf("seq %d, %v; want %d", st.Seq, err, seq)
		}
	}
	st, err := s.Resize(ctx, 5, 111, 33)
	check(st, err, 5)
	r.until("33 111")
	st, err = s.Signal(ctx, 5, "TERM") // not above: dropped
	check(st, err, 5)
	st, err = s.Signal(ctx, 6, "USR1")
	check(st, err, 6)
	r.until("usr1")
	st, err = s.Resize(ctx, 6, 1, 1)
	check(st, err, 6)
	if _, err = s.Signal(ctx, 7, "SEGV"); !errors.Is(err, ErrInvalid) {
		t.Errorf("a signal that is not on the list: %v", err)
	}
	st, err = s.Signal(ctx, 8, "TERM")
	check(st, err, 8)
	if exit := r.toExit(); exit.Code != 9 || bytes.Contains(r.out[Output], []byte("1 1")) {
		t.Errorf("exit %+v, output %q", exit, r.out[Output])
	}
	st, err = s.Signal(ctx, 9, "TERM") // to nobody
	check(st, err, 9)
}

// TestMeta keeps the daemon's record.
func TestMeta(t *testing.T) {
	k, _ := inProcess(t, nil)
	r := shell(t, "meta", "cat")
	r.Meta = []byte("first")
	s := start(t, k, r)
	if got := s.Info(); string(got.Meta) != "first" || !got.Terminal || got.PID == 0 || got.Window != wire.DefaultWindow {
		t.Errorf("info %+v", got)
	}
	if err := s.SetMeta(testContext(t), []byte("second")); err != nil {
		t.Fatal(err)
	}
	if err := s.SetMeta(testContext(t), make([]byte, MaxMeta+1)); !errors.Is(err, ErrInvalid) {
		t.Errorf("too large: %v", err)
	}
	list, err := k.List(testContext(t))
	if err != nil || len(list) != 1 || string(list[0].Meta) != "second" || string(s.Info().Meta) != "second" {
		t.Errorf("list %+v, %v", list, err)
	}
}

// TestListPages lists more than one answer holds.
func TestListPages(t *testing.T) {
	k, s := inProcess(t, nil)
	const n = 30
	for i := range n {
		r := shell(t, fmt.Sprintf("s%02d", i), "cat")
		r.Meta = make([]byte, MaxMeta)
		start(t, k, r)
	}
	if p := s.page(""); !p.More || len(p.Sessions) >= n {
		t.Fatalf("first page: %d, more %v", len(p.Sessions), p.More)
	}
	list, err := k.List(testContext(t))
	if err != nil || len(list) != n {
		t.Fatalf("%d sessions, %v", len(list), err)
	}
	for i, info := range list {
		if info.ID != fmt.Sprintf("s%02d", i) || len(info.Meta) != MaxMeta {
			t.Errorf("%d: %s", i, info.ID)
		}
	}
}
