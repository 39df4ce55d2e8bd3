package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"etcha/go/audit"
)

// The scripts drive etcha audit over a log that the command makes:
//
//	log DIR RECORDINGS   a session with a recording two hours ago, and a refusal one hour ago
//	status N command     as in the other scripts
func TestAuditScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/audit",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"log": scriptLog, "status": scriptStatus},
	})
}

func scriptLog(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: log DIR RECORDINGS")
	}
	recordings := ts.MkAbs(args[1])
	content := []byte("a recording")
	ts.Check(os.MkdirAll(recordings, 0o700))
	ts.Check(os.WriteFile(filepath.Join(recordings, "s1.cast"), content, 0o600))
	sum := sha256.Sum256(content)
	at := time.Now().Add(-2 * time.Hour)
	log, err := audit.Open(audit.Options{Dir: ts.MkAbs(args[0]), Now: func() time.Time { return at }})
	ts.Check(err)
	for _, e := range []audit.Entry{
		{Event: audit.Opened, Session: "s1", Source: "debug", Key: "alice SHA256:x", Subject: "\x1b[31mred\u202e", User: "root", Detail: map[string]any{"pty": true}},
		{Event: audit.Recorded, Session: "s1", Source: "debug", Detail: audit.RecordedDetail("s1.cast", int64(len(content)), hex.EncodeToString(sum[:]))},
		{Event: audit.Ended, Session: "s1", Source: "debug", Reason: "it was done"},
		{Event: audit.Refused, Source: "web", Addr: "192.0.2.1"},
	} {
		if e.Event == audit.Refused {
			at = at.Add(time.Hour)
		}
		_, err := log.Append(e)
		ts.Check(err)
	}
	ts.Check(log.Close())
}

// lineFunc gets each line that is written.
type lineFunc func(line string)

func (f lineFunc) Write(p []byte) (int, error) {
	f(string(p))
	return len(p), nil
}

func TestAuditShowFollows(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	log, err := audit.Open(audit.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	write := func(event audit.Event) {
		if _, err := log.Append(audit.Entry{Event: event}); err != nil {
			t.Error(err)
		}
	}
	write(audit.Started)
	ctx, cancel := context.WithCancel(context.Background())
	shown, done := make(chan struct{}), make(chan struct{})
	go func() { // beside the command, which has seen the end of the log by then
		defer close(done)
		for range shown {
			write(audit.Opened)
		}
	}()
	var got []string
	a := newApp(Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr})
	a.stdout = lineFunc(func(line string) {
		got = append(got, strings.Fields(line)[2])
		if len(got) == 3 {
			cancel()
			return
		}
		shown <- struct{}{}
	})
	if err := a.auditShow(ctx, &auditFlags{dir: dir, follow: true}); err != nil {
		t.Fatal(err)
	}
	close(shown)
	<-done
	if strings.Join(got, " ") != "start open open" {
		t.Errorf("shown: %v", got)
	}
}
