package cli

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"etcha/go/client"
)

func resize(s *screen, cols, rows uint16) error {
	return pty.Setsize(s.master, &pty.Winsize{Cols: cols, Rows: rows})
}

// untilLine reads lines until one is as wanted.
func untilLine(t *testing.T, r io.Reader, ok func(string) bool) {
	t.Helper()
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if ok(lines.Text()) {
			return
		}
	}
	t.Fatalf("the line did not come: %v", lines.Err())
}

// stateOf is the value of the first state in a line of JSON, and what follows.
func stateOf(line string) string {
	_, after, _ := strings.Cut(line, `"state":`)
	return after
}

// TestUnfinished: wherever output is cut, the beginning of what it is in the
// middle of is known, and nothing else.
func TestUnfinished(t *testing.T) {
	for _, c := range []struct{ whole, text string }{
		{"\x1b[?1049h", ""},
		{"\x1b[38;5;1m", ""},
		{"\x1b]0;title\x07", ""},
		{"\x1b]0;title\x1b\\", ""},
		{"\x1bP$qm\x1b\\", ""},
		{"\x1b(B", ""},
		{"\x1b7", ""},
		{"ü", ""},
		{"漢", ""},
		{"😀", ""},
	} {
		for cut := 1; cut < len(c.whole); cut++ {
			var u unfinished
			u.scan([]byte("text" + c.whole[:cut]))
			if got := u.again(); got != c.whole[:cut] {
				t.Errorf("%q: %q is unfinished", c.whole[:cut], got)
			}
			u.scan([]byte(c.whole[cut:] + "more"))
			if got := u.again(); got != "" {
				t.Errorf("%q: %q is unfinished after its end", c.whole, got)
			}
		}
	}
	var u unfinished
	u.scan([]byte("\x1b]52;" + strings.Repeat("x", 2*maxUnfinished)))
	if got := u.again(); got != "" {
		t.Errorf("%d bytes are written once more", len(got))
	}
	u.scan([]byte("\x07\x1b[3"))
	if got := u.again(); got != "\x1b[3" {
		t.Errorf("%q", got)
	}
	u.scan([]byte("\x1b[4")) // a sequence within a sequence begins anew
	if got := u.again(); got != "\x1b[4" {
		t.Errorf("%q", got)
	}
}

func TestKeyModes(t *testing.T) {
	var m modes
	before := m.keys()
	m.scan([]byte("\x1b[?1049;2004;1h\x1b=\x1b[?25l"))
	if got := m.keys().since(before); got != "\x1b[?1h\x1b[?2004h\x1b=" {
		t.Errorf("%q", got)
	}
	before = m.keys()
	m.scan([]byte("\x1b[?2004l\x1b>"))
	if got := m.keys().since(before); got != "\x1b[?2004l\x1b>" {
		t.Errorf("%q", got)
	}
}

// TestTaming: up to the end of what was written before, no question reaches the
// terminal; what follows is as it is.
func TestTaming(t *testing.T) {
	tame := taming{left: 10}
	tame.took(4, true)
	if !tame.on() || tame.left != 6 {
		t.Errorf("%+v", tame)
	}
	tame.took(8, false) // in the middle of a sequence
	if !tame.on() {
		t.Error("it ends inside a sequence")
	}
	tame.took(2, true)
	if tame.on() {
		t.Error("it does not end")
	}
	for range 3 {
		guest := taming{always: true}
		guest.took(100, true)
		if !guest.on() {
			t.Error("a guest's terminal answers")
		}
	}
}

func TestLossReason(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{syscall.ECONNREFUSED, "connection refused"},
		{&client.LossError{Err: syscall.ECONNRESET}, "connection cut"},
		{io.ErrUnexpectedEOF, "connection cut"},
		{&client.StreamError{Text: "x"}, "connection cut"},
		{&client.ProxyError{Status: 502}, "a proxy says 502"},
		{errors.New("whatever"), "no answer"},
	} {
		if got := lossReason(c.err); got != c.want {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
	}
}

// TestTellLoss: without a terminal a short loss is passed over, and a long one
// told once.
func TestTellLoss(t *testing.T) {
	r := &remote{app: &app{}}
	l := newStatusLine(r)
	if next := l.show(time.Now()); next != 0 {
		t.Errorf("next look at a connection that is there: %s", next)
	}
	l.lose(client.Event{Cause: io.EOF})
	if next := l.show(l.since.Add(time.Second)); next != lossToldAfter-time.Second || l.told {
		t.Errorf("next look %s, told %v", next, l.told)
	}
	l.back()
	if l.isLost() || l.told {
		t.Error("a short loss is told")
	}
}

func TestNearest(t *testing.T) {
	names := []string{"web1", "web2", "database", "db", "myhost"}
	for word, want := range map[string]string{
		"web": "web1 web2", "myhots": "myhost", "databse": "database", "databaes": "database", "elsewhere": "", "DB": "db",
	} {
		if got := strings.Join(nearest(word, names), " "); got != want {
			t.Errorf("%s: %q, want %q", word, got, want)
		}
	}
}
