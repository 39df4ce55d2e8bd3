package ship

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"etcha/go/audit"
)

// memory is a sink that a test looks into.
type memory struct {
	collector
	fail func(items []item) (n int, err error) // nil: everything arrives
}

func (m *memory) close() {}

func (m *memory) send(_ context.Context, items []item) (n int, err error) {
	n = len(items)
	if m.fail != nil {
		n, err = m.fail(items)
	}
	for _, it := range items[:n] {
		m.add(string(it.line))
	}
	return n, err
}

// startWith runs a shipper with one destination, m.
func (b *bed) startWith(m *memory) {
	b.t.Helper()
	s := &Shipper{o: b.o, changed: make(chan struct{})}
	s.add("memory", "there", m)
	b.s = s
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	b.stop = func() { cancel(); <-done; b.stop = func() {} }
}

func plain(*Options) {}

func TestPartOfABatchIsNotSentTwice(t *testing.T) {
	b := newBed(t, plain)
	b.add(10)
	broken := errors.New("broken")
	m := &memory{fail: func(items []item) (int, error) { return min(3, len(items)), broken }}
	b.startWith(m)
	b.arrive(10)
	b.stop()
	if got := m.got(); strings.Join(got, "\n") != strings.Join(b.lines(), "\n") {
		t.Errorf("got %v", got)
	}
}

// A process that dies between sending and noting it sends again, and leaves
// nothing out.
func TestLostCursorMeansSendingAgain(t *testing.T) {
	b := newBed(t, plain)
	b.add(4)
	m := &memory{}
	b.startWith(m)
	b.arrive(4)
	b.stop()
	cursor := b.s.runners[0].cursor
	for _, damage := range []string{"", "x", "99", "3:short\n"} {
		if err := os.WriteFile(cursor, []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		m := &memory{}
		b.startWith(m)
		b.arrive(4)
		b.stop()
		if len(m.got()) != 4 || !strings.Contains(b.said.String(), "is not known: everything is sent again") {
			t.Errorf("%q: got %d\n%s", damage, len(m.got()), b.said)
		}
	}
	info, err := os.Stat(cursor)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	left, _ := os.ReadDir(filepath.Dir(cursor))
	if len(left) != 1 {
		t.Errorf("left in the folder: %v", left)
	}
}

// Another log in the old one's place begins anew.
func TestAnotherLogIsSentWhole(t *testing.T) {
	for _, entries := range []int{2, 9} {
		b := newBed(t, plain)
		b.add(5)
		b.startWith(&memory{})
		b.arrive(5)
		b.stop()
		_ = b.log.Close()
		if err := os.RemoveAll(b.o.AuditDir); err != nil {
			t.Fatal(err)
		}
		b.openLog(0)
		b.s = nil
		last := b.add(entries)
		m := &memory{}
		b.startWith(m)
		until(t, "the new log", func() bool { return len(m.got()) == int(last) })
		b.stop()
		if !strings.Contains(b.said.String(), "not the audit log that was sent") {
			t.Errorf("%s", b.said)
		}
	}
}

func TestPrunedEntriesAreSkippedWithAWarning(t *testing.T) {
	b := newBed(t, plain)
	_ = b.log.Close()
	b.openLog(1) // two segments of 64 KiB
	b.add(1)
	b.startWith(&memory{})
	b.arrive(1)
	b.stop()
	for first := uint64(1); first < 4; {
		b.s = nil
		b.add(200)
		report, err := audit.Verify(b.o.AuditDir, "", audit.VerifyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		first = report.First
	}
	m := &memory{}
	b.startWith(m)
	seq, _ := b.log.Head()
	b.arrive(seq)
	b.stop()
	if strings.Join(m.got(), "\n") != strings.Join(b.lines(), "\n") {
		t.Errorf("%d sent of %d", len(m.got()), len(b.lines()))
	}
	if !strings.Contains(b.said.String(), "pruned before they were sent") {
		t.Errorf("%s", b.said)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	b := newBed(t, plain)
	b.add(1)
	release := make(chan struct{})
	m := &memory{fail: func(items []item) (int, error) { <-release; return len(items), nil }}
	b.startWith(m)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := b.s.Wait(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	close(release)
	b.arrive(1)
	if err := b.s.Wait(ctx, 1); err != nil {
		t.Errorf("what has arrived: %v", err)
	}
	none, err := New(Options{AuditDir: "/a", CursorDir: "/c"})
	if err != nil || none.Wait(ctx, 1) != nil || len(none.Backlog()) != 0 {
		t.Errorf("without a destination: %v", err)
	}
}

// Entries are gathered for an object, but not while somebody waits.
func TestGathering(t *testing.T) {
	b := newBed(t, func(o *Options) { o.period = time.Hour })
	m := &memory{}
	s := &Shipper{o: b.o, changed: make(chan struct{})}
	s.add("memory", "there", m).linger = time.Hour
	b.s = s
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	b.add(batchEntries)
	until(t, "a full batch", func() bool { return len(m.got()) == batchEntries })
	last := b.add(2)
	b.arrive(last)
	cancel()
	<-done
}

func TestJournal(t *testing.T) {
	var got collector
	path := filepath.Join(t.TempDir(), "socket")
	p := got.packets(t, "unixgram", path)
	b := newBed(t, func(o *Options) { o.Journald, o.journal = true, path })
	b.start()
	e, err := b.log.Append(audit.Entry{
		Event: audit.Refused, Session: "s", Source: "debug", Key: "alice", Subject: "sub", Addr: "192.0.2.1", User: "root",
		Reason: "two\nlines=", Detail: map[string]any{"n": 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.arrive(e.Seq)
	until(t, "the message", func() bool { return len(got.got()) == 1 })
	fields := journalFields(t, got.got()[0])
	for name, want := range map[string]string{
		"MESSAGE": `refused session="s" source="debug" key="alice" subject="sub" addr="192.0.2.1" user="root" reason="two\nlines="`, "PRIORITY": "4",
		"SYSLOG_IDENTIFIER": "etcha", "SYSLOG_FACILITY": "10", "ETCHA_NODE": "SHA256:ab+/cd", "ETCHA_SEQ": "1", "ETCHA_EVENT": "refused",
		"ETCHA_SESSION": "s", "ETCHA_SOURCE": "debug", "ETCHA_KEY": "alice", "ETCHA_SUBJECT": "sub", "ETCHA_ADDR": "192.0.2.1",
		"ETCHA_USER": "root", "ETCHA_REASON": "two\nlines=", "ETCHA_ENTRY": b.lines()[0],
	} {
		if fields[name] != want {
			t.Errorf("%s: %q, want %q", name, fields[name], want)
		}
		delete(fields, name)
	}
	if len(fields) != 0 {
		t.Errorf("further fields: %v", fields)
	}
	// The largest entry goes through too, and journald may restart.
	big := audit.Entry{Event: audit.Refused, Reason: strings.Repeat("x", 1000), Detail: map[string]any{}}
	for i := range 14 {
		big.Detail[fmt.Sprint(i)] = strings.Repeat("y", 1000)
	}
	_ = p.Close()
	_ = os.Remove(path)
	e, err = b.log.Append(big)
	if err != nil {
		t.Fatal(err)
	}
	b.s.Poke()
	until(t, "a failure", func() bool { return strings.Contains(b.said.String(), "cannot be sent") })
	var again collector
	again.packets(t, "unixgram", path)
	b.arrive(e.Seq)
	until(t, "the large message", func() bool { return len(again.got()) == 1 })
	if journalFields(t, again.got()[0])["ETCHA_ENTRY"] != b.lines()[1] {
		t.Error("the large entry is not whole")
	}
}

// journalFields reads the native protocol, as journald does.
func journalFields(t *testing.T, m string) map[string]string {
	t.Helper()
	fields := map[string]string{}
	for m != "" {
		line, rest, ok := strings.Cut(m, "\n")
		if !ok {
			t.Fatalf("no line end: %q", m)
		}
		if name, value, ok := strings.Cut(line, "="); ok {
			fields[name], m = value, rest
			continue
		}
		n := binary.LittleEndian.Uint64([]byte(rest))
		fields[line] = rest[8 : 8+n]
		if rest[8+n] != '\n' {
			t.Fatalf("%s: %q", line, rest[8+n:])
		}
		m = rest[8+n+1:]
	}
	return fields
}

func FuzzCursor(f *testing.F) {
	f.Add("1:47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU\n")
	f.Add("x")
	path := filepath.Join(f.TempDir(), "c")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		at, err := readCursor(path)
		if err != nil {
			return
		}
		if err := writeCursor(path, at); err != nil {
			t.Fatal(err)
		}
		if again, err := readCursor(path); err != nil || again != at {
			t.Fatal(again, err)
		}
	})
}
