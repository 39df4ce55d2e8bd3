package errs

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"etcha/go/wire"
)

func TestError(t *testing.T) {
	for _, c := range []struct {
		err  *Error
		text string
	}{
		{New(wire.CodeDenied, "no %s", "entry"), "no entry"},
		{Transport(io.EOF, "reach %s", "myhost"), "reach myhost: EOF"},
		{&Error{Err: io.EOF}, "EOF"},
		{Usage("bad flag"), "bad flag"},
	} {
		if c.err.Error() != c.text {
			t.Errorf("%q, want %q", c.err, c.text)
		}
	}
}

// The outermost error that knows decides.
func TestFacesInAChain(t *testing.T) {
	inner := New(wire.CodeOffset, "inner").WithHint("go back").Because(io.EOF)
	for _, c := range []struct {
		name string
		err  error
		code wire.Code
		exit int
		hint string
	}{
		{"nil", nil, wire.CodeInternal, 0, ""},
		{"a plain error", io.EOF, wire.CodeInternal, ExitOther, ""},
		{"an error", inner, wire.CodeOffset, ExitOther, "go back"},
		{"wrapped", fmt.Errorf("open: %w", inner), wire.CodeOffset, ExitOther, "go back"},
		{"by one without a code", Transport(inner, "reach"), wire.CodeOffset, ExitTransport, "go back"},
		{"by one with a code", New(wire.CodeDenied, "outer").Because(inner), wire.CodeDenied, ExitOther, "go back"},
		{"by one with a hint", Usage("outer").Because(inner).WithHint("turn %s", "left"), wire.CodeOffset, ExitUsage, "turn left"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := CodeOf(c.err); got != c.code {
				t.Errorf("code %q, want %q", got, c.code)
			}
			if got := ExitOf(c.err); got != c.exit {
				t.Errorf("exit status %d, want %d", got, c.exit)
			}
			if got := HintOf(c.err); got != c.hint {
				t.Errorf("hint %q, want %q", got, c.hint)
			}
		})
	}
	if !errors.Is(inner, io.EOF) {
		t.Error("the private cause is lost")
	}
}

// What is derived from an error leaves it as it was: errors may be shared.
func TestCopies(t *testing.T) {
	base := New(wire.CodeDenied, "no")
	_ = base.WithHint("x")
	_ = base.Because(io.EOF)
	if base.Hint != "" || base.Err != nil {
		t.Errorf("changed to %+v", base)
	}
}
