package pty

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// noChildren waits until all children of this process have been reaped.
func noChildren(t *testing.T, parent *Parent) {
	t.Helper()
	eventually(t, "orphans are reaped", func() bool {
		_, _, err := peek(unix.P_ALL, 0, unix.WNOHANG)
		return errors.Is(err, unix.ECHILD)
	})
}

// A child of this process that is no session's stays, whatever it looks like.
func TestOthersAreLeftAlone(t *testing.T) {
	parent := unaudited(reaper(t))
	other, err := os.StartProcess("/bin/sleep", []string{"sleep", "1000"}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	p := startBy(t, parent, newSpec("/bin/cat"))
	if _, err := p.End(context.Background(), time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if err := other.Kill(); err != nil {
		t.Errorf("it was ended: %v", err)
	}
	eventually(t, "it has ended", func() bool {
		_, ok, err := peek(unix.P_PID, other.Pid, unix.WNOHANG)
		return ok || err != nil
	})
	parent.reapAll()
	if st, err := other.Wait(); err != nil || st.String() != "signal: killed" {
		t.Errorf("its status was taken: %v, %v", st, err)
	}
}

// Exit statuses are never mixed up with those of orphans, at any speed.
func TestStatusesAreNotStolen(t *testing.T) {
	parent := reaper(t)
	failed := make(chan error)
	const rows, each = 4, 25
	for range rows {
		go func() {
			var err error
			for i := range each {
				err = errors.Join(err, statusAmongOrphans(parent, i))
			}
			failed <- err
		}()
	}
	for range rows {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
	noChildren(t, parent)
}

func statusAmongOrphans(parent *Parent, code int) error {
	// Orphans end before, with and after the leader.
	p, err := parent.Start(shell(fmt.Sprintf("(:&) ; (true & true &); (sleep 0.01 &) ; exit %d", code)))
	if err != nil {
		return err
	}
	<-p.Done()
	got := p.Exit()
	if err := p.Close(); err != nil {
		return err
	}
	if got != (Exit{Code: code}) {
		return fmt.Errorf("%+v, want %d", got, code)
	}
	return nil
}

// While a leader that ended waits for its end, orphans behind it are reaped.
func TestOrphansAreReapedBehindALeader(t *testing.T) {
	parent := reaper(t)
	p := startBy(t, parent, shell("exec 3<&0; (sh -c 'echo $$; read x <&3' &) ; exit 6"))
	pid := linesOf(t, p.Output()).pid()
	await(t, p)
	input(t, p, "\n")
	eventually(t, "the orphan is reaped", func() bool {
		_, err := readProc(pid)
		return errors.Is(err, os.ErrNotExist)
	})
	if now, err := readProc(p.Pid()); err != nil || now.alive() {
		t.Errorf("the leader's number is free too early: %+v, %v", now, err)
	}
	if p.Exit().Code != 6 {
		t.Errorf("%+v", p.Exit())
	}
}
