package cli

import (
	"bytes"
	"encoding/json"
	"io"
	"sync"
	"sync/atomic"
)

// Colours, as parameters of the SGR control sequence.
const (
	red    = "1;31"
	yellow = "33"
	green  = "32"
	bold   = "1"
	dim    = "2"
)

// console is stderr as the person sees it. While the terminal is raw a line
// feed no longer returns the carriage, so one is put before it. It is safe for
// concurrent use: the log and the session write to it.
type console struct {
	raw atomic.Bool
	mu  sync.Mutex
	w   io.Writer
}

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.raw.Load() {
		return c.w.Write(p)
	}
	if _, err := c.w.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n"))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// paint wraps text in a colour where stderr shows colours.
func (a *app) paint(colour, text string) string {
	if !a.colour {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// wantsColour reports whether f is a terminal that shows colours and nobody
// asked for none (NO_COLOR, see no-color.org; TERM=dumb).
func (a *app) wantsColour(isTerminal bool) bool {
	return isTerminal && a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb"
}

// printJSON writes v to stdout as indented JSON.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
