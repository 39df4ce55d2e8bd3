package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"etcha/go/wire"
)

// maxRetryAfter bounds what is believed of a Retry-After header.
const maxRetryAfter = time.Minute

// request makes a request. A token is the body of a POST; without one it is a GET.
func (c *Client) request(ctx context.Context, u *url.URL, tok, accept string) *http.Request {
	r := &http.Request{
		Method: http.MethodGet,
		URL:    u,
		Host:   u.Host,
		Header: http.Header{"User-Agent": {c.o.UserAgent}, "Accept": {accept}},
	}
	if tok != "" {
		body := []byte(tok)
		r.Method = http.MethodPost
		r.Header["Content-Type"] = []string{wire.TypeJWT}
		r.ContentLength = int64(len(body))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		r.Body, _ = r.GetBody()
	}
	return r.WithContext(ctx)
}

// bounds are those of a request whose answer is JSON.
type bounds struct {
	limit time.Duration // for the whole of it
	most  int           // bytes of the answer
}

// exchange sends a request whose answer is JSON and decodes it into out.
func (c *Client) exchange(ctx context.Context, via http.RoundTripper, u *url.URL, tok string, within bounds, out any) error {
	ctx, cancel := context.WithTimeoutCause(ctx, within.limit, errTimeout)
	defer cancel()
	resp, err := via.RoundTrip(c.request(ctx, u, tok, wire.TypeJSON))
	if err != nil {
		return cause(ctx, err)
	}
	defer resp.Body.Close()
	body, err := readAnswer(resp.Body, within.most)
	if err != nil {
		return cause(ctx, err)
	}
	if resp.StatusCode != http.StatusOK {
		return refused(resp, body)
	}
	if kind := mediaType(resp); kind != wire.TypeJSON {
		return &ProxyError{Status: resp.StatusCode, ContentType: kind}
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("answer of the node: %w", err)
	}
	return nil
}

// stream sends a request whose answer is an event stream and returns its body,
// which ends when ctx does.
func (c *Client) stream(ctx context.Context, via http.RoundTripper, u *url.URL, tok string) (io.ReadCloser, error) {
	resp, err := via.RoundTrip(c.request(ctx, u, tok, wire.TypeEventStream))
	if err != nil {
		return nil, cause(ctx, err)
	}
	if resp.StatusCode == http.StatusOK && mediaType(resp) == wire.TypeEventStream {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	body, err := readAnswer(resp.Body, wire.MaxNodeAnswer)
	if err != nil {
		return nil, cause(ctx, err)
	}
	return nil, refused(resp, body)
}

// cause replaces the error of a cancelled request by the reason.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// readAnswer reads a body that is not a stream.
func readAnswer(r io.Reader, most int) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, int64(most)+1))
	if err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	if len(body) > most {
		return nil, fmt.Errorf("read answer: more than %d bytes", most)
	}
	return body, nil
}

// refused makes an error of an answer that is not what was asked for: the
// node's own refusal, or somebody else's words.
func refused(resp *http.Response, body []byte) error {
	kind := mediaType(resp)
	after := retryAfter(resp.Header.Get("Retry-After"))
	var p wire.Problem
	if kind != wire.TypeProblem || json.Unmarshal(body, &p) != nil || p.Code == "" {
		return &ProxyError{Status: resp.StatusCode, ContentType: printable(kind, 100), RetryAfter: after}
	}
	p.Code = wire.Code(printable(string(p.Code), 100))
	p.Title = printable(p.Title, 500)
	p.Detail = printable(p.Detail, 2000)
	p.Hint = printable(p.Hint, 1000)
	return &RefusedError{Problem: p, RetryAfter: after}
}

func mediaType(resp *http.Response) string {
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return kind
}

// retryAfter reads the header in its form of seconds; dates are not used here.
func retryAfter(s string) time.Duration {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0
	}
	return min(time.Duration(n)*time.Second, maxRetryAfter)
}

// temporary reports whether the same request may succeed later: it was not
// answered, or by someone in the path, or the node is busy with itself. A TLS key
// that is not the node's is someone in the path: nothing is sent to him, and he
// may be gone on the next network.
func temporary(err error) bool {
	var r *RefusedError
	if errors.As(err, &r) {
		switch r.Problem.Code {
		case wire.CodeTimeout, wire.CodeLimited, wire.CodeDraining, wire.CodeUnready, wire.CodeInternal:
			return true
		}
		return r.Problem.Code.Retryable()
	}
	var changed *NodeChangedError
	return !errors.As(err, &changed)
}

// pauseOf is what an answer says about when to come back.
func pauseOf(err error) time.Duration {
	var r *RefusedError
	var p *ProxyError
	switch {
	case errors.As(err, &r):
		return r.RetryAfter
	case errors.As(err, &p):
		return p.RetryAfter
	}
	return 0
}
