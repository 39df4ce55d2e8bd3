package cli

import (
	"fmt"
	"os"

	"golang.org/x/sys/windows"
	"golang.org/x/term"
)

// defaultTerm is the kind of the terminal where TERM does not say it.
const defaultTerm = "xterm-256color"

// vtState is the console's output mode to go back to.
type vtState struct {
	handle windows.Handle
	mode   uint32
	set    bool
}

// enterVT makes the console understand control sequences. A console that
// cannot shows them; that is all.
func enterVT(out *os.File) vtState {
	v := vtState{handle: windows.Handle(out.Fd())}
	if windows.GetConsoleMode(v.handle, &v.mode) != nil {
		return v
	}
	mode := v.mode | windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING | windows.DISABLE_NEWLINE_AUTO_RETURN
	v.set = windows.SetConsoleMode(v.handle, mode) == nil
	return v
}

func (v vtState) leave() {
	if v.set {
		_ = windows.SetConsoleMode(v.handle, v.mode) // nothing else can be done
	}
}

func openConsole() (in, out *os.File, err error) {
	if in, err = os.OpenFile("CONIN$", os.O_RDWR, 0); err != nil {
		return nil, nil, err
	}
	if out, err = os.OpenFile("CONOUT$", os.O_RDWR, 0); err != nil {
		in.Close()
		return nil, nil, err
	}
	return in, out, nil
}

func readSecret(in, out *os.File, prompt string) ([]byte, error) {
	fmt.Fprint(out, prompt)
	defer fmt.Fprintln(out)
	return term.ReadPassword(int(in.Fd()))
}
