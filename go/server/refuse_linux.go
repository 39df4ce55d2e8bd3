package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"etcha/go/authz"
	"etcha/go/errs"
	"etcha/go/metrics"
	"etcha/go/session"
	"etcha/go/wire"
)

// Seconds after which to come back.
const (
	retryLimited  = 1
	retryDraining = 2
)

// renderNotFound is the body of the one answer before a signature has been verified.
func renderNotFound() []byte {
	b, err := json.Marshal(wire.Problem{Title: "Not Found", Status: http.StatusNotFound, Code: wire.CodeNotFound})
	if err != nil {
		panic(fmt.Sprintf("a constant cannot be encoded: %v", err))
	}
	return b
}

// notFound is the answer that says nothing: the same bytes whatever was wrong.
func (q *request) notFound(reason metrics.Refusal, cause error) {
	q.refused(reason, cause)
	q.charge()
	q.answer(http.StatusNotFound, wire.TypeProblem, q.h.uniform)
}

// early refuses before a signature was verified, for a reason that does not
// depend on what was asked for.
func (q *request) early(code wire.Code, cause error) {
	q.refused(metrics.Refusal(code), cause)
	if code != wire.CodeInternal && code != wire.CodeUnready && code != wire.CodeDraining {
		q.charge()
	}
	q.problem(wire.Problem{Code: code}, 0)
}

// charge counts a failed request for its address.
func (q *request) charge() {
	if q.h.limiter.failed(q.peer) {
		q.h.log.Warn("requests of an address fail too often and are slowed", "req", q.num, "peer", q.peer)
	}
	q.h.metrics.LimiterAddresses(q.h.limiter.addresses())
}

// fail refuses a verified request: the answer says what is missing. An error
// without a public side is the node's own trouble.
func (q *request) fail(err error) {
	code := errs.CodeOf(err)
	q.refused(metrics.Refusal(code), err)
	p := wire.Problem{Code: code, Hint: errs.HintOf(err)}
	var public *errs.Error
	if errors.As(err, &public) && public.Code != "" {
		p.Detail, p.Exit = public.Text, public.Exit
	} else {
		p.Detail, p.Hint = fmt.Sprintf("the node's log says more at request %d", q.num), ""
	}
	if code == wire.CodeExpired || code == wire.CodeClockSkew {
		p.Now = q.h.journal.Now().Unix()
	}
	var approval *authz.ApprovalError
	if errors.As(err, &approval) {
		p.Approval = &approval.Needed
	}
	var offset *session.OffsetError
	if errors.As(err, &offset) {
		p.Offset, p.Room = &offset.Offset, &offset.Room
	}
	q.problem(p, q.h.journal.Wait())
}

func (q *request) refused(reason metrics.Refusal, cause error) {
	q.reason, q.cause = reason, cause
	q.h.metrics.Refused(q.source, reason)
	if q.verified {
		q.h.witness.refused(q, wire.Code(reason))
	}
}

// problem writes a problem by its code; wait is how long a node that is not
// ready will be so.
func (q *request) problem(p wire.Problem, wait time.Duration) {
	p.Status = p.Code.Status()
	p.Title = http.StatusText(p.Status)
	switch p.Code {
	case wire.CodeLimited:
		q.retryAfter(retryLimited)
	case wire.CodeDraining:
		q.retryAfter(retryDraining)
	case wire.CodeUnready:
		q.retryAfter(max(1, int(math.Ceil(wait.Seconds()))))
	}
	q.json(p.Status, wire.TypeProblem, p)
}

func (q *request) retryAfter(seconds int) { q.Header().Set("Retry-After", strconv.Itoa(seconds)) }

func (q *request) json(status int, contentType string, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		panic(fmt.Sprintf("an answer cannot be encoded: %v", err))
	}
	q.answer(status, contentType, b)
}

// answer writes a whole answer. Its headers depend on nothing else.
func (q *request) answer(status int, contentType string, body []byte) {
	h := q.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	q.WriteHeader(status)
	// An error is the client's going away; it is told by its own retry.
	_, _ = q.Write(body)
}
