//go:build linux

package e2e

import (
	"encoding/json"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"etcha/go/e2e/testkit"
)

func atoi(t testing.TB, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	must(t, err)
	return n
}

func itoa(n int) string { return strconv.Itoa(n) }

// Each way out: the status is the documented one and the terminal is as before.
func TestExitStatusAndTerminalModes(t *testing.T) {
	near, far := twoNodes(t, testkit.Settings{"command": "/bin/bash --norc"})
	for _, c := range []struct {
		name   string
		source string
		do     func(x *testkit.Terminal)
		want   int
		says   string
	}{
		{"exit 7", "debug", func(x *testkit.Terminal) { x.Type("exit 7\r") }, 7, ""},
		{"killed by TERM", "debug", func(x *testkit.Terminal) { x.Type("exec sh -c 'kill -TERM $$'\r") }, 143, ""},
		{"escape", "debug", func(x *testkit.Terminal) { x.Type("\r~.") }, 255, ""},
		{"client gets TERM", "debug", func(x *testkit.Terminal) { must(t, x.Cmd.Process.Signal(syscall.SIGTERM)) }, 143, ""},
		{"keeper killed", "debug", func(x *testkit.Terminal) { must(t, syscall.Kill(far.Keeper(), syscall.SIGKILL)) }, 255, "the process that held it on the node was killed"},
		{"refused", "nope", nil, 255, "refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := testkit.NewTerminal(t, near.Etcha("shell", c.source, "myhost"), 80, 24)
			before := x.Modes()
			if c.do != nil {
				x.Expect("#")
				x.Type("echo ma''rk\r")
				x.Expect("mark")
				if x.Modes() == before {
					t.Error("the terminal is not in raw mode")
				}
				c.do(x)
			}
			if status := x.Wait(); status != c.want {
				t.Errorf("exit status %d, want %d\n%s", status, c.want, x.Screen())
			}
			if x.Modes() != before {
				t.Error("the terminal's modes are not as before")
			}
			testkit.Eventually(t, "the message has: "+c.says, func() bool { return strings.Contains(x.Raw(), c.says) })
		})
	}
}

func jsonOf(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	must(t, err)
	return b
}
