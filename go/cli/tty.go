package cli

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/term"
)

// tty is the user's terminal while a session is on it. It is raw at most
// between enter and leave; leave may be called at any moment, from any
// goroutine, any number of times.
type tty struct {
	in, out *os.File

	mu     sync.Mutex
	cooked *term.State // the mode to go back to; nil: the terminal is as it was
	vt     vtState
}

func isTerminal(f *os.File) bool { return f != nil && term.IsTerminal(int(f.Fd())) }

// enter makes the terminal raw: each key goes to the program as it is. Called
// again, it makes it raw again, for someone else may have changed it while the
// process was stopped.
func (t *tty) enter() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	state, err := term.MakeRaw(int(t.in.Fd()))
	if err != nil {
		return fmt.Errorf("put the terminal in raw mode: %w", err)
	}
	if t.cooked == nil {
		t.cooked = state
		t.vt = enterVT(t.out)
	}
	return nil
}

// leave puts the terminal back as it was.
func (t *tty) leave() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cooked == nil {
		return nil
	}
	t.vt.leave()
	err := term.Restore(int(t.in.Fd()), t.cooked)
	t.cooked = nil
	return err
}

// guard is deferred at the top of each goroutine of a session: a panic must not
// leave a raw terminal behind.
func (t *tty) guard() {
	if r := recover(); r != nil {
		_ = t.leave() // the panic is what matters
		panic(r)
	}
}

// size is the window's size in characters.
func (t *tty) size() (cols, rows uint16) { return windowSize(t.out) }

// The size that a terminal without one is taken to have.
const (
	defaultCols = 80
	defaultRows = 24
)

func windowSize(f *os.File) (cols, rows uint16) {
	w, h, err := term.GetSize(int(f.Fd()))
	if err != nil || w <= 0 || h <= 0 || w > 0xffff || h > 0xffff {
		return defaultCols, defaultRows
	}
	return uint16(w), uint16(h)
}

// errNoTerminal means that a secret must be asked for and there is nobody to ask.
var errNoTerminal = errors.New("there is no terminal to ask on")

// askSecret asks on the terminal of the process, wherever stdin and stdout
// lead to. What is typed is not shown.
func askSecret(prompt string) ([]byte, error) {
	in, out, err := openConsole()
	if err != nil {
		return nil, errNoTerminal
	}
	defer in.Close()
	defer out.Close()
	secret, err := readSecret(in, out, prompt)
	if err != nil {
		return nil, fmt.Errorf("read from the terminal: %w", err)
	}
	return secret, nil
}
