package keeper

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Echo takes what became of the input written since the last call, in order, for
// a session started with ReportEcho. What is missing between two ranges was
// forgotten, as nobody took it in time, and must be treated as not echoed; so
// must what was written before this handle was made. [Session.Changed] tells of
// more.
//
// The flag is looked at when the terminal takes the bytes; its line discipline
// handles them a little later. What is typed ahead, or pasted, across a change of
// the flag may be counted to the wrong side of it.
func (s *Session) Echo() []EchoRange {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.view == nil {
		return nil
	}
	s.echoMu.Lock()
	defer s.echoMu.Unlock()
	s.view.ctl.echo.Add(1) // before the look: what comes after it is told
	return s.takeEcho()
}

// takeEcho takes it, without a wish to be told of more. The caller holds echoMu.
func (s *Session) takeEcho() []EchoRange {
	written := s.view.h.written.Load() // before the entries: those below it are visible then
	if written <= s.echoAt {
		return nil
	}
	taken := s.view.echo(s.echoAt, written)
	s.echoAt = written
	return taken
}

// echo lists what is remembered of the input in [from, to).
func (v *view) echo(from, to uint64) []EchoRange {
	count := v.h.echoCount.Load()
	first := count - min(count, echoSlots)
	entries := make([]uint64, 0, count-first)
	for i := first; i < count; i++ {
		entries = append(entries, v.h.echoes[i%echoSlots].Load())
	}
	if now := v.h.echoCount.Load(); now >= echoSlots { // the older ones may be rewritten
		if gone := now - echoSlots + 1; gone > first {
			entries = entries[min(gone-first, uint64(len(entries))):]
		}
	}
	var ranges []EchoRange
	for i, e := range entries {
		r := EchoRange{From: max(e>>1, from), To: to, On: e&1 == 1}
		if i+1 < len(entries) {
			r.To = min(to, entries[i+1]>>1)
		}
		if r.From < r.To {
			ranges = append(ranges, r)
		}
	}
	return ranges
}

// wrote counts input that was taken. The caller holds mu.
func (in *input) wrote(n int, echo bool) {
	if n > 0 {
		in.noteEcho(echo)
		in.written += uint64(n)
	}
}

// lose counts all input that waits as written: nobody takes it. The caller holds
// mu.
func (in *input) lose() {
	if in.written < in.accepted {
		in.noteEcho(false)
		in.written = in.accepted
	}
}

// noteEcho remembers whether what is written next is echoed. The caller holds mu.
func (in *input) noteEcho(on bool) {
	w := in.h.ring.h
	count := w.echoCount.Load()
	if !in.h.reportEcho || count > 0 && on == in.echoOn {
		return
	}
	entry := in.written << 1
	if on {
		entry |= 1
	}
	in.echoOn = on
	w.echoes[count%echoSlots].Store(entry)
	w.echoCount.Store(count + 1)
}

// write gives some of a piece to the program, and waits until it takes any.
func (in *input) write(piece []byte) (n int, echo bool, err error) {
	if in.raw == nil || !in.h.reportEcho {
		n, err = in.h.proc.Write(piece)
		return n, !in.h.terminal, err
	}
	// In single steps, as the flag may change while the program does not read.
	rawErr := in.raw.Write(func(fd uintptr) bool {
		n, echo, err = in.writeTerminal(fd, piece)
		return !errors.Is(err, unix.EAGAIN)
	})
	if rawErr != nil {
		return 0, false, rawErr
	}
	return n, echo, err
}

// writeTerminal writes to the terminal once, and reports whether that is echoed.
func (in *input) writeTerminal(fd uintptr, b []byte) (n int, echo bool, err error) {
	echo = in.echoes(fd)
	for {
		n, err = unix.Write(int(fd), b)
		if !errors.Is(err, unix.EINTR) {
			return max(n, 0), echo && in.echoes(fd), err
		}
	}
}

// echoes reports whether the terminal echoes what is typed now; false when
// nobody wants to know.
func (in *input) echoes(fd uintptr) bool {
	if !in.h.reportEcho {
		return false
	}
	t, err := unix.IoctlGetTermios(int(fd), unix.TCGETS)
	return err == nil && t.Lflag&unix.ECHO != 0
}
