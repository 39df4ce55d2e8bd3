package authz

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"etcha/go/errs"
	"etcha/go/token"
	"etcha/go/wire"
)

// ApprovalError is the refusal of an open that lacks counter-signatures. It
// wraps an errs.Error of the code approval, which says what is wrong with each
// of those that came along.
type ApprovalError struct {
	Needed wire.ApprovalNeeded
	err    *errs.Error
}

// Error is the public text.
func (e *ApprovalError) Error() string { return e.err.Error() }

// Unwrap gives the errs.Error.
func (e *ApprovalError) Unwrap() error { return e.err }

// approval is a counter-signature that counts.
type approval struct {
	number int // in the request, from 1
	by     token.PublicKey
	id     string
	exp    time.Time
}

// approved decides whether the counter-signatures of an open suffice, uses up as
// many as the source requires, and gives whose they are. It is the last thing
// that is decided.
func (s *Source) approved(id Identity, c wire.Claims, x Context) ([]token.PublicKey, error) {
	need := s.Shell.Require
	if need <= 0 {
		return nil, nil
	}
	if c.Confirm == nil {
		return nil, errs.New(wire.CodeBadRequest, "source %q requires counter-signatures (shell.require), and they need a session key: the token has no cnf", s.Name)
	}
	if _, err := token.ConfirmKey(c.Confirm); err != nil {
		return nil, err
	}
	if len(c.Approvals) > wire.MaxApprovals {
		return nil, errs.New(wire.CodeBadRequest, "%d counter-signatures are given; the limit is %d", len(c.Approvals), wire.MaxApprovals)
	}
	v := &votes{source: s, opener: id.Key, now: x.Now, used: x.Used, digest: wire.NewOpenRequest(x.Node, id.Key.Thumbprint(), c).Digest()}
	for _, tok := range c.Approvals {
		v.count([]byte(tok))
	}
	if len(v.good) < need {
		return nil, v.missing(need, len(v.good))
	}
	used, err := v.use(need, x.Once)
	if err != nil || len(used) == need {
		return used, err
	}
	return nil, v.missing(need, len(used))
}

// votes counts the counter-signatures of one request.
type votes struct {
	source *Source
	opener token.PublicKey
	digest string
	now    time.Time
	used   func(id string) bool

	total int
	by    []token.PublicKey
	good  []approval
	bad   []string // why the others do not count
}

// count takes the next counter-signature.
func (v *votes) count(tok []byte) {
	v.total++
	c, by, err := token.VerifyApproval(tok, v.source.Keys)
	if err == nil {
		err = v.check(c, by)
	} else {
		err = unverified(err)
	}
	if err != nil {
		v.reject(v.total, err)
		return
	}
	v.by = append(v.by, by)
	v.good = append(v.good, approval{number: v.total, by: by, id: c.ID, exp: time.Unix(c.Expires, 0)})
}

// unverified puts what is wrong with a token in public words: of one whose
// signature was verified, what is wrong with its claims.
func unverified(err error) error {
	if e := asRefusal(err); e != nil {
		return errors.New(e.Text)
	}
	return errors.New("it is not signed by a key that the source accepts")
}

func (v *votes) check(c wire.ApprovalClaims, by token.PublicKey) error {
	switch {
	case by.Equal(v.opener):
		return errors.New("it is by the key that opens the session; another one must sign")
	case c.Digest != v.digest:
		return errors.New("it is for another request")
	}
	if err := token.CheckApproval(c, v.now); err != nil {
		return err
	}
	for _, k := range v.by {
		if k.Equal(by) {
			return errors.New("it is by the same key as one before")
		}
	}
	if v.used != nil && v.used(c.ID) {
		return errUsed
	}
	return nil
}

var errUsed = errors.New("it was used before")

func (v *votes) reject(number int, why error) {
	v.bad = append(v.bad, fmt.Sprintf("counter-signature %d does not count: %s", number, why))
}

// use uses up counter-signatures until as many are as needed, and gives whose they
// were. The error is the node's own trouble.
func (v *votes) use(need int, once func(string, time.Time) error) (used []token.PublicKey, err error) {
	if once == nil {
		return nil, errs.New(wire.CodeUnready, "counter-signatures cannot be used up now")
	}
	for _, a := range v.good {
		if len(used) == need {
			break
		}
		err := once(a.id, a.exp)
		switch {
		case err == nil:
			used = append(used, a.by)
		case errs.CodeOf(err) == wire.CodeReplayed:
			v.reject(a.number, errUsed)
		default:
			return used, fmt.Errorf("use up a counter-signature: %w", err)
		}
	}
	return used, nil
}

// missing is the refusal when only have of the needed ones count.
func (v *votes) missing(need, have int) error {
	text := fmt.Sprintf("source %q requires %s by others than the opener (shell.require); %d came along", v.source.Name, signatures(need), have)
	if len(v.bad) > 0 {
		text += "; " + strings.Join(v.bad, "; ")
	}
	e := errs.New(wire.CodeApproval, "%s", text).
		WithHint("people whose keys the source accepts sign the request that your client shows: etcha approve REQUEST")
	return &ApprovalError{Needed: wire.ApprovalNeeded{Digest: v.digest, Need: need, Have: have}, err: e}
}

func signatures(n int) string {
	if n == 1 {
		return "1 counter-signature"
	}
	return fmt.Sprintf("%d counter-signatures", n)
}

// asRefusal is the refusal with a public side in err's chain, nil when there is none.
func asRefusal(err error) *errs.Error {
	var e *errs.Error
	if errors.As(err, &e) {
		return e
	}
	return nil
}
