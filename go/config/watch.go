package config

import "context"

// Watch reads a configuration again while a program runs. It is for one
// goroutine; it starts none.
type Watch struct {
	last *Loaded
}

// Watch starts from what was loaded.
func (l *Loaded) Watch() *Watch { return &Watch{last: l} }

// Reload reads the configuration again. As after [Load], only a result without
// an error has a Config.
func (w *Watch) Reload(ctx context.Context) (*Loaded, error) {
	next, err := Load(ctx, w.last.opts)
	w.last = next
	return next, err
}

// Poll is Reload if a file changed since the last time, broken or not, else nil
// and no error: a broken configuration is reported once.
func (w *Watch) Poll(ctx context.Context) (*Loaded, error) {
	if !w.last.Changed() {
		return nil, nil
	}
	return w.Reload(ctx)
}
