package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"time"

	"etcha/go/errs"
	"etcha/go/metrics"
	"etcha/go/token"
	"etcha/go/wire"
)

// Why a request was not verified, for the log.
var (
	errMethod  = errors.New("not a POST")
	errType    = errors.New("the content type is not " + wire.TypeJWT)
	errForeign = errors.New("the token was made for another node")
	errMoved   = errors.New("the token was made for another source or session")
)

// pass lets a request on to the work of verification: at once, or, for an
// address whose requests fail too often, by the slow lane. done must be called
// when that work is over. When it reports false, the request was answered.
func (q *request) pass() (done func(), ok bool) {
	if !q.h.limiter.limited(q.peer) {
		return func() {}, true
	}
	q.h.metrics.LimiterDelayed()
	ctx, cancel := context.WithTimeout(q.r.Context(), wire.RequestRead)
	defer cancel()
	done, err := q.h.limiter.slow(ctx, q.peer)
	if err != nil {
		q.h.metrics.LimiterRefused()
		q.early(wire.CodeLimited, err)
		return nil, false
	}
	return done, true
}

// verify checks the body's token against the keys and the route, and its life.
// It reports whether the request may go on; otherwise it has been answered.
func (q *request) verify(keys []token.PublicKey, otherwise metrics.Refusal) (wire.Claims, token.PublicKey, bool) {
	var none token.PublicKey
	if err := q.bare(); err != nil {
		q.notFound(metrics.RefusedToken, err)
		return wire.Claims{}, none, false
	}
	payload, by, ok := q.signature(keys, otherwise)
	if !ok {
		return wire.Claims{}, none, false
	}
	q.subject = keyName(by)
	claims, err := token.DecodeClaims(payload)
	if err == nil && q.elsewhere(claims) {
		return wire.Claims{}, none, false
	}
	if err == nil {
		err = token.CheckLife(claims, q.h.journal.Now())
	}
	if err != nil {
		// Signed once by a key of this source, but whoever sends it may have
		// found it somewhere, and can send it for ever.
		q.charge()
		q.fail(err)
		return wire.Claims{}, none, false
	}
	// From here on the sender is known to hold a key of this source.
	q.verified, q.by = true, q.identity(by, claims)
	connOf(q.r.Context()).verified()
	if len(claims.Subject) > wire.MaxSubject {
		err = errs.New(wire.CodeBadRequest, "sub has %d bytes, at most %d are accepted", len(claims.Subject), wire.MaxSubject)
	}
	if err == nil && claims.Shell == nil {
		err = errs.New(wire.CodeBadRequest, "the token has no etchaShell")
	}
	if err != nil {
		q.fail(err)
		return wire.Claims{}, none, false
	}
	if claims.Subject != "" {
		q.subject += " (" + shorten(claims.Subject) + ")"
	}
	return claims, by, true
}

// keyName names a key in the log.
func keyName(k token.PublicKey) string { return cmp.Or(k.ID(), k.Thumbprint()) }

// bare checks what can be seen without a key.
func (q *request) bare() error {
	if q.r.Method != http.MethodPost {
		return errMethod
	}
	kind, _, err := mime.ParseMediaType(q.r.Header.Get("Content-Type"))
	if err != nil || kind != wire.TypeJWT {
		return fmt.Errorf("%w but %q", errType, shorten(q.r.Header.Get("Content-Type")))
	}
	return nil
}

func (q *request) signature(keys []token.PublicKey, otherwise metrics.Refusal) ([]byte, token.PublicKey, bool) {
	done, ok := q.pass()
	if !ok {
		return nil, token.PublicKey{}, false
	}
	payload, by, err := token.Verify(q.body, wire.TypeRequest, keys)
	done()
	if err != nil {
		q.notFound(otherwise, err)
		return nil, token.PublicKey{}, false
	}
	return payload, by, true
}

// elsewhere refuses a token that was made for another node, source or session,
// as if nobody had signed it.
func (q *request) elsewhere(c wire.Claims) bool {
	switch {
	case !c.Audience.Contains(q.h.identity.ID()):
		q.notFound(metrics.RefusedAudience, errForeign)
	case c.Source != q.source || c.Session != q.session:
		q.notFound(metrics.RefusedRoute, errMoved)
	default:
		return false
	}
	return true
}

// once uses up the token's jti, of the share of a key; a second use is refused.
func (q *request) once(c wire.Claims, key token.PublicKey) error {
	if len(c.ID) < wire.MinJTI || len(c.ID) > wire.MaxJTI {
		return errs.New(wire.CodeBadRequest, "jti must have %d to %d characters", wire.MinJTI, wire.MaxJTI)
	}
	if err := q.h.shares.take(key); err != nil {
		return err
	}
	err := q.h.journal.Use(c.ID, time.Unix(c.Expires, 0))
	if errors.Is(err, token.ErrReplayed) {
		q.h.metrics.ReplayRefused()
	}
	return err
}
