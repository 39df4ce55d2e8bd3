package keeper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"etcha/go/wire"
)

// versionArgv starts the test binary as a keeper of a version. "refuse" is one
// that reads no state, "elsewhere" one that is for another folder, "dies" one
// that says it could but does not.
func versionArgv(dir, version string) []string {
	return []string{"/proc/self/exe", roleKeeper, dir, "1h/" + version}
}

// probeMain answers for keeperMain.
func probeMain(dir, linger string) int {
	switch {
	case strings.HasSuffix(linger, "/refuse"):
		fmt.Println(`{"oldest":1000,"newest":1001,"stateDir":"` + dir + `"}`)
		return 0
	case strings.HasSuffix(linger, "/elsewhere"):
		dir = "/elsewhere"
	case strings.HasSuffix(linger, "/silent"):
		return 1
	}
	if err := Probe(os.Stdout, dir); err != nil {
		return 1
	}
	return 0
}

// upgradeTo connects as a daemon of another version, which upgrades the keeper.
func upgradeTo(t *testing.T, dir, version string) *Keeper {
	t.Helper()
	k, err := Connect(testContext(t), ConnectOptions{StateDir: dir, Argv: versionArgv(dir, version), Version: version})
	if err != nil {
		t.Fatalf("connect: %v\n%s", err, keeperLog(dir))
	}
	t.Cleanup(func() { k.Close() })
	if k.c.peer.Version != version {
		t.Fatalf("the keeper is of version %q\n%s", k.c.peer.Version, keeperLog(dir))
	}
	return k
}

func adopt(t *testing.T, k *Keeper, id string) *Session {
	t.Helper()
	s, err := k.Adopt(testContext(t), id)
	if err != nil {
		t.Fatalf("adopt %s: %v\n%s", id, err, keeperLog(k.dir))
	}
	t.Cleanup(s.Release)
	return s
}

// counted checks that output is the lines of a counter from 1 on, and gives how
// many there are.
func counted(t *testing.T, out []byte, newline string) int {
	t.Helper()
	lines := strings.Split(string(out), newline)
	for i, line := range lines[:len(lines)-1] {
		if line != strconv.Itoa(i+1) {
			t.Fatalf("line %d is %q", i+1, line)
		}
	}
	return len(lines) - 1
}

const counter = `i=0; while [ ! -e stop ]; do i=$((i+1)); echo $i; done; exit 7`

// TestUpgrades upgrades ten times under programs that write, echo, sleep and
// have ended, on terminals and pipes. Every byte arrives once, both ways.
func TestUpgrades(t *testing.T) {
	k, dir := newKeeper(t)
	pid := k.c.peer.PID
	work := t.TempDir()
	in := func(r StartRequest) StartRequest { r.Spec.Dir = work; return r }
	counters := map[string]string{"lines-tty": "\r\n", "lines-pipe": "\n"}
	out := map[string][]byte{}
	start(t, k, in(shell(t, "lines-tty", counter)))
	start(t, k, in(piped(t, "lines-pipe", counter)))
	start(t, k, piped(t, "flow", "exec cat"))
	over := start(t, k, piped(t, "over", "echo was; exit 3"))
	awaitEnded(t, over)
	started := over.Info().Started
	for i := range 10 {
		k = upgradeTo(t, dir, fmt.Sprintf("v%d", i))
		if k.c.peer.PID != pid {
			t.Fatalf("process %d became %d", pid, k.c.peer.PID)
		}
		list, err := k.List(testContext(t))
		if err != nil || len(list) != 4 {
			t.Fatalf("sessions %v, %v\n%s", list, err, keeperLog(dir))
		}
		continueFlow(t, adopt(t, k, "flow"))
		for id := range counters {
			rd := follow(t, adopt(t, k, id))
			rd.at, rd.out[Output] = uint64(len(out[id])), out[id]
			for want := rd.at + 5000; rd.at < want; {
				if n, _ := rd.step(); n == 0 {
					rd.wait("lines")
				}
			}
			out[id] = rd.out[Output]
		}
	}
	if err := os.WriteFile(filepath.Join(work, "stop"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for id, newline := range counters {
		rd := follow(t, adopt(t, k, id))
		rd.at, rd.out[Output] = uint64(len(out[id])), out[id]
		if exit := rd.toExit(); exit.Code != 7 || exit.Reason != wire.ReasonExited {
			t.Errorf("%s: %+v", id, exit)
		}
		counted(t, rd.out[Output], newline)
	}
	over = adopt(t, k, "over")
	rd := follow(t, over)
	if exit := rd.toExit(); exit.Code != 3 || string(rd.out[Output]) != "was\n" || !over.Info().Started.Equal(started) {
		t.Errorf("%+v, %q", exit, rd.out[Output])
	}
}

// TestUpgradeKeepsPending upgrades with input that a program does not read, and
// with output that nobody reads.
func TestUpgradeKeepsPending(t *testing.T) {
	for _, kind := range []string{"tty", "pipe"} {
		t.Run(kind, func(t *testing.T) {
			k, dir := newKeeper(t)
			make := piped
			if kind == "tty" {
				make = shell
			}
			work := t.TempDir()
			r := make(t, "pending", "stty raw -echo 2>/dev/null; echo ready; while [ ! -e go ]; do sleep 0.01; done; exec head -c 700000")
			r.Spec.Dir, r.ReportEcho = work, true
			s := start(t, k, r)
			follow(t, s).until("ready")
			at := s.State().Head
			send(t, s, patternAt(0, 700_000))
			full := make(t, "full", "exec seq 1000000")
			full.Window = 100_000
			f := start(t, k, full)
			for f.State().Head < full.Window {
				pause(testContext(t), t, "a full window")
			}
			for i := range 3 {
				k = upgradeTo(t, dir, fmt.Sprintf("v%d", i))
			}
			if err := os.WriteFile(filepath.Join(work, "go"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			s = adopt(t, k, "pending")
			if st := s.State(); st.Accepted != 700_000 || st.Written >= st.Accepted {
				t.Errorf("state %+v", st)
			}
			rd := follow(t, s)
			rd.at = at
			if exit := rd.toExit(); exit.Code != 0 || !bytes.Equal(rd.out[Output], patternAt(0, 700_000)) {
				t.Errorf("%+v, %d bytes", exit, len(rd.out[Output]))
			}
			rd = follow(t, adopt(t, k, "full"))
			rd.toExit()
			newline := map[string]string{"tty": "\r\n", "pipe": "\n"}[kind]
			if n := counted(t, rd.out[Output], newline); n != 1_000_000 {
				t.Errorf("%d lines", n)
			}
		})
	}
}

// TestUpgradeInputEnd keeps the end of input, before and after it was passed on.
func TestUpgradeInputEnd(t *testing.T) {
	k, dir := newKeeper(t)
	ctx := testContext(t)
	work := t.TempDir()
	r := piped(t, "waits", "while [ ! -e go ]; do sleep 0.01; done; exec cat")
	r.Spec.Dir = work
	waits := start(t, k, r)
	send(t, waits, patternAt(0, 200_000))
	if _, err := waits.Input(ctx, 200_000, nil, true); err != nil {
		t.Fatal(err)
	}
	closed := start(t, k, piped(t, "closed", "cat; while [ ! -e "+work+"/go ]; do sleep 0.01; done"))
	if _, err := closed.Input(ctx, 0, []byte("all"), true); err != nil {
		t.Fatal(err)
	}
	follow(t, closed).until("all")
	k = upgradeTo(t, dir, "next")
	closed, waits = adopt(t, k, "closed"), adopt(t, k, "waits")
	if _, err := closed.Input(ctx, 3, []byte("more"), false); !errors.Is(err, ErrInputClosed) {
		t.Errorf("input after its end: %v", err)
	}
	if err := os.WriteFile(filepath.Join(work, "go"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	rd := follow(t, waits)
	if exit := rd.toExit(); exit.Code != 0 || !bytes.Equal(rd.out[Output], patternAt(0, 200_000)) {
		t.Errorf("%+v, %d bytes", exit, len(rd.out[Output]))
	}
	if exit := follow(t, closed).toExit(); exit.Code != 0 {
		t.Errorf("%+v", exit)
	}
}

// TestExitDuringUpgrade has programs and orphans end between the freeze and the
// new program's start: statuses are kept, and nobody stays a zombie.
func TestExitDuringUpgrade(t *testing.T) {
	k, dir := newKeeper(t)
	pid := k.c.peer.PID
	const many = 30
	work := t.TempDir()
	for i := range many {
		r := piped(t, fmt.Sprintf("ends%d", i), fmt.Sprintf(
			`setsid sh -c 'while [ ! -e go ]; do sleep 0.0%d; done' & while [ ! -e go ]; do sleep 0.0%d; done; echo bye; exit %d`, i%9+1, i%9+1, i))
		r.Spec.Dir = work
		start(t, k, r)
	}
	for i := range 4 {
		if i == 2 {
			go os.WriteFile(filepath.Join(work, "go"), nil, 0o600) //nolint:errcheck // shows below
		}
		k = upgradeTo(t, dir, fmt.Sprintf("v%d", i))
	}
	for i := range many {
		s := adopt(t, k, fmt.Sprintf("ends%d", i))
		rd := follow(t, s)
		if exit := rd.toExit(); exit.Code != i || string(rd.out[Output]) != "bye\n" {
			t.Errorf("%d: %+v, %q", i, exit, rd.out[Output])
		}
		awaitEnded(t, s)
		if err := s.Forget(testContext(t)); err != nil {
			t.Error(err)
		}
	}
	ctx := testContext(t)
	for {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		if err != nil {
			t.Skip(err)
		}
		if len(b) == 0 {
			return
		}
		pause(ctx, t, "children "+string(b)+" to be reaped")
	}
}

// TestUpgradeWhileEnding goes on with the ending of a session.
func TestUpgradeWhileEnding(t *testing.T) {
	k, dir := newKeeper(t)
	s := start(t, k, shell(t, "stubborn", escape+"trap '' HUP TERM; while :; do read x; done"))
	all := follow(t, s).pids(5)
	ctx, cancel := context.WithCancel(testContext(t))
	cancel()
	if err := s.End(ctx, wire.ReasonIdle); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	k = upgradeTo(t, dir, "next")
	s = adopt(t, k, "stubborn")
	awaitEnded(t, s)
	if exit := s.State().Exit; exit == nil || exit.Reason != wire.ReasonIdle {
		t.Errorf("%+v", exit)
	}
	for _, p := range all {
		if alive(p) {
			t.Errorf("process %d is alive", p)
		}
	}
}

// TestUpgradeDiscard keeps counting what nobody reads.
func TestUpgradeDiscard(t *testing.T) {
	k, dir := newKeeper(t)
	work := t.TempDir()
	r := shell(t, "discard", counter)
	r.Spec.Dir, r.Discard, r.Window = work, true, 50_000
	start(t, k, r).Release()
	awaitDropped(t, k, 1)
	k = upgradeTo(t, dir, "next")
	awaitDropped(t, k, awaitDropped(t, k, 1)+1)
	if err := os.WriteFile(filepath.Join(work, "stop"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx := testContext(t)
	for {
		list, err := k.List(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if list[0].State.Exit != nil {
			break
		}
		pause(ctx, t, "exit")
	}
	s := adopt(t, k, "discard")
	st := s.State()
	if st.Dropped == 0 || st.Dropped != st.Acked || st.Head-st.Acked > 50_000 {
		t.Errorf("state %+v", st)
	}
	rd := follow(t, s)
	rd.at = st.Acked
	rd.toExit()
	lines := strings.Split(string(rd.out[Output]), "\r\n")
	first, err := strconv.Atoi(lines[1])
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range lines[1 : len(lines)-1] {
		if line != strconv.Itoa(first+i) {
			t.Fatalf("line %d is %q", i, line)
		}
	}
}

// awaitDropped waits until a keeper's only session has dropped so much.
func awaitDropped(t *testing.T, k *Keeper, atLeast uint64) uint64 {
	t.Helper()
	ctx := testContext(t)
	for {
		list, err := k.List(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if n := list[0].State.Dropped; n >= atLeast {
			return n
		}
		pause(ctx, t, "output to be dropped")
	}
}
