//go:build !linux

package command

import "context"

// Shells runs everything as processes here: a check's output cannot be told from
// that of the next one without what Linux has.
type Shells struct{ process Process }

// NewShells makes a runner that must be closed.
func NewShells(p Process) *Shells { return &Shells{process: p} }

// Close has nothing to end here.
func (r *Shells) Close() error { return nil }

// Run implements [Runner].
func (r *Shells) Run(ctx context.Context, s Script) (Output, error) { return r.process.Run(ctx, s) }
