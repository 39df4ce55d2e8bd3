package authz

import (
	"etcha/go/errs"
	"etcha/go/wire"
)

// Act decides whether id may do op (attach, watch, join, kill, list) with the
// session of this record.
func (p *Policy) Act(id Identity, op wire.Op, rec Record, x Context) error {
	if _, err := p.shell(id.Key, rec.Source); err != nil {
		return err
	}
	if id.Key.String() != rec.Key {
		return errs.New(wire.CodeDenied, "not permitted")
	}
	return nil
}

// Sources is what id may use.
func (p *Policy) Sources(id Identity, x Context) []wire.SourceInfo { return nil }
