package session

import "etcha/go/wire"

// typed is input that the program was given, until it is known whether it was
// seen on the screen. It holds passwords: what is dropped is overwritten.
type typed struct {
	from uint64 // offset of the first byte, in the keeper's count
	data []byte
}

// add keeps input from an offset on. Beyond the window the oldest goes: nothing
// that old waits to be written.
func (t *typed) add(at uint64, p []byte) {
	if at != t.from+uint64(len(t.data)) {
		t.wipe()
		t.from = at
	}
	if over := len(t.data) + len(p) - wire.InputWindow; over > 0 {
		t.drop(min(over, len(t.data)))
	}
	if need := len(t.data) + len(p); need > cap(t.data) {
		grown := make([]byte, len(t.data), max(need, 2*cap(t.data)))
		copy(grown, t.data)
		clear(t.data)
		t.data = grown
	}
	t.data = append(t.data, p...)
}

// cut forgets what is at an offset and beyond.
func (t *typed) cut(at uint64) {
	if end := t.from + uint64(len(t.data)); at < end {
		n := max(at, t.from) - t.from
		clear(t.data[n:])
		t.data = t.data[:n]
	}
}

// take gives what stands in [from, to), and forgets it with all before; who
// takes it overwrites it.
func (t *typed) take(from, to uint64) []byte {
	t.drop(int(min(max(from, t.from)-t.from, uint64(len(t.data))))) //nolint:gosec // at most its length
	n := min(max(to, t.from)-t.from, uint64(len(t.data)))
	p := append([]byte(nil), t.data[:n]...)
	t.drop(int(n)) //nolint:gosec // at most its length
	return p
}

// drop forgets the first n bytes.
func (t *typed) drop(n int) {
	rest := copy(t.data, t.data[n:])
	clear(t.data[rest:])
	t.data, t.from = t.data[:rest], t.from+uint64(n)
}

// wipe forgets everything.
func (t *typed) wipe() {
	clear(t.data)
	t.from, t.data = t.from+uint64(len(t.data)), nil
}

// typed keeps input that is about to be given to the program.
func (c *recording) typed(at uint64, p []byte) {
	if !c.on() || c.note.Mode != recordFull {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.input.add(at, p)
}

// untyped forgets input that was not given after all.
func (c *recording) untyped(at uint64) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.input.cut(at)
}

// writeInput records the input that was seen since the last call, and forgets
// what was not.
func (c *recording) writeInput() error {
	if c.note.Mode != recordFull {
		return nil
	}
	for _, r := range c.s.held.Echo() {
		c.mu.Lock()
		p := c.input.take(r.From, r.To)
		c.mu.Unlock()
		var err error
		if r.On && len(p) > 0 {
			err = c.to.Input(p)
		}
		clear(p)
		if err != nil {
			return err
		}
	}
	return nil
}
