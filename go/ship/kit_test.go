package ship

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"etcha/go/audit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// logLines keeps what was logged.
type logLines struct {
	t  *testing.T
	mu sync.Mutex
	b  []byte
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b = append(l.b, p...)
	return len(p), nil
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.b)
}

// bed is a log and what ships it.
type bed struct {
	t    *testing.T
	log  *audit.Log
	said *logLines
	o    Options
	s    *Shipper
	stop func()
}

func newBed(t *testing.T, set func(*Options)) *bed {
	t.Helper()
	dir := t.TempDir()
	b := &bed{t: t, said: &logLines{t: t}, stop: func() {}}
	b.o = Options{
		AuditDir: filepath.Join(dir, "audit"), RecordingsDir: filepath.Join(dir, "recordings"), CursorDir: filepath.Join(dir, "ship"),
		Node: "SHA256:ab+/cd", Log: slog.New(slog.NewTextHandler(b.said, nil)),
		backoff: time.Millisecond, period: time.Millisecond,
	}
	set(&b.o)
	b.openLog(0)
	t.Cleanup(func() { b.stop(); _ = b.log.Close() })
	return b
}

func (b *bed) openLog(maxSize int64) {
	b.t.Helper()
	var err error
	if b.log, err = audit.Open(audit.Options{Dir: b.o.AuditDir, MaxSize: maxSize}); err != nil {
		b.t.Fatal(err)
	}
}

// start runs a shipper until stop.
func (b *bed) start() {
	b.t.Helper()
	var err error
	if b.s, err = New(b.o); err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func(s *Shipper) { done <- s.Run(ctx) }(b.s)
	b.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Error(err)
		}
	})
}

// add appends entries and tells the shipper.
func (b *bed) add(n int) uint64 {
	b.t.Helper()
	var last uint64
	for i := range n {
		e, err := b.log.Append(audit.Entry{Event: audit.Opened, Session: fmt.Sprint("s", i), Source: "debug", Key: "alice SHA256:x", Reason: "a\nb"})
		if err != nil {
			b.t.Fatal(err)
		}
		last = e.Seq
	}
	if b.s != nil {
		b.s.Poke()
	}
	return last
}

// arrive waits until everything up to the number has arrived.
func (b *bed) arrive(seq uint64) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.s.Wait(ctx, seq); err != nil {
		b.t.Fatalf("entry %d: %v\n%s", seq, err, b.said)
	}
}

// lines are the log's own.
func (b *bed) lines() (all []string) {
	b.t.Helper()
	err := audit.Read(b.o.AuditDir, 0, func(line []byte, _ audit.Entry) error {
		all = append(all, string(line))
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return all
}

// until waits for a condition that something else brings about.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it never came: %s", what)
		}
	}
}
