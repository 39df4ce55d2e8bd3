//go:build linux

package e2e

import (
	"bufio"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"etcha/go/wire"
)

// Tokens are made by hand here, apart from the program's own code: what it would
// never make must be refused all the same.

var b64 = base64.RawURLEncoding

// object is a JSON object of a token.
type object = map[string]any

// testKey is an Ed25519 key and its name in a configuration.
type testKey struct {
	ed25519.PrivateKey
	public string // as verifyKeys has it
}

func newTestKey(t testing.TB, id string) testKey {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	return testKey{priv, "ed25519public:" + base64.StdEncoding.EncodeToString(pkix(t, pub)) + ":" + id}
}

func pkix(t testing.TB, pub crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(pub)
	must(t, err)
	return der
}

func (k testKey) bytes() ed25519.PublicKey { return k.PrivateKey.Public().(ed25519.PublicKey) }

func (k testKey) sign(input []byte) []byte { return ed25519.Sign(k.PrivateKey, input) }

// signature makes the third part of a token from the first two.
type signature func(input []byte) []byte

// compact is a token of these bytes, whatever they are.
func compact(header, payload []byte, sign signature) string {
	input := b64.EncodeToString(header) + "." + b64.EncodeToString(payload)
	return input + "." + b64.EncodeToString(sign([]byte(input)))
}

// jws is a token of these objects.
func jws(t testing.TB, header, payload object, sign signature) string {
	t.Helper()
	return compact(jsonOf(t, header), jsonOf(t, payload), sign)
}

// token is an honest one.
func (k testKey) token(t testing.TB, payload object) string {
	t.Helper()
	return jws(t, headerOf("EdDSA"), payload, k.sign)
}

func headerOf(alg string) object { return object{"alg": alg, "typ": wire.TypeRequest} }

func hs256(secret []byte) signature {
	return func(input []byte) []byte {
		m := hmac.New(sha256.New, secret)
		m.Write(input)
		return m.Sum(nil)
	}
}

// es384 signs by a new key on the curve P-384.
func es384(t testing.TB) signature {
	return func(input []byte) []byte {
		k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		must(t, err)
		sum := sha512.Sum384(input)
		r, s, err := ecdsa.Sign(rand.Reader, k, sum[:])
		must(t, err)
		out := make([]byte, 96)
		r.FillBytes(out[:48])
		s.FillBytes(out[48:])
		return out
	}
}

func randomID() string {
	b := make([]byte, 18)
	_, _ = rand.Read(b)
	return b64.EncodeToString(b)
}

// claims are those of an honest request at this moment.
func claims(node, source, session string, shell object) object {
	now := time.Now().Unix()
	c := object{
		"aud": node, "iat": now, "nbf": now, "exp": now + 5, "jti": randomID(),
		"source": source, "etchaShell": shell,
	}
	if session != "" {
		c["session"] = session
	}
	return c
}

// with is claims with others in their place; nil takes one out.
func with(claims object, others object) object {
	out := object{}
	for name, value := range claims {
		out[name] = value
	}
	for name, value := range others {
		if out[name] = value; value == nil {
			delete(out, name)
		}
	}
	return out
}

// refusal is an answer as it came, without its date: the status line and the
// header in the order they stood in where the protocol has one.
type refusal struct{ status, header, body string }

func (r refusal) String() string { return r.status + "\n" + r.header + "\n" + r.body }

// code is the problem's code, with the status that goes with it.
func (r refusal) code(t testing.TB) (wire.Code, int) {
	t.Helper()
	var p wire.Problem
	if err := json.Unmarshal([]byte(r.body), &p); err != nil {
		t.Fatalf("no problem (%v):\n%s", err, r)
	}
	if !strings.Contains(r.status, strconv.Itoa(p.Status)) || !strings.Contains(r.header, wire.TypeProblem) {
		t.Errorf("the problem does not go with its answer:\n%s", r)
	}
	return p.Code, p.Status
}

// post sends a token by a version of HTTP and gives the whole answer.
type post func(t testing.TB, addr, path, body string) refusal

// byHTTP1 writes and reads the bytes themselves.
func byHTTP1(t testing.TB, addr, path, body string) refusal {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	must(t, err)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		// A refusal may come before the body is through.
		_, _ = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
			path, addr, wire.TypeJWT, len(body), body)
	}()
	r := bufio.NewReader(conn)
	var head []string
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			t.Fatalf("answer to %s: %v after %q", path, err, head)
		}
		if line == "\r\n" {
			break
		}
		head = append(head, line)
	}
	a := refusal{status: strings.TrimSpace(head[0]), header: withoutDate(strings.Join(head[1:], ""))}
	a.body = bodyOf(t, a.header, r)
	_ = conn.SetDeadline(time.Unix(1, 0))
	<-sent
	return a
}

// bodyOf is an answer's body. A stream, which would never end, is none of a refusal.
func bodyOf(t testing.TB, header string, r io.Reader) string {
	t.Helper()
	if strings.Contains(header, wire.TypeEventStream) {
		return "a session was opened"
	}
	body, err := io.ReadAll(r)
	must(t, err)
	return string(body)
}

// byHTTP2 leaves the framing to the library, which gives no order of headers.
func byHTTP2(t testing.TB, addr, path, body string) refusal {
	t.Helper()
	resp := openHTTP2(t, addr, path, body)
	defer resp.Body.Close()
	var b strings.Builder
	must(t, resp.Header.Write(&b)) // sorted
	header := withoutDate(b.String())
	return refusal{resp.Proto + " " + resp.Status, header, bodyOf(t, header, resp.Body)}
}

func withoutDate(header string) string {
	var kept []string
	for line := range strings.Lines(header) {
		if line = strings.TrimRight(line, "\r\n"); !strings.HasPrefix(line, "Date: ") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// openHTTP2 sends a token on a connection of its own, which ends with the body.
func openHTTP2(t testing.TB, addr, path, body string) *http.Response {
	t.Helper()
	resp, err := sendHTTP2(t.Context(), addr, path, body)
	must(t, err)
	return resp
}

// sendHTTP2 is openHTTP2 for any goroutine.
func sendHTTP2(ctx context.Context, addr, path, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+addr+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", wire.TypeJWT)
	tr := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: time.Minute, ResponseHeaderTimeout: time.Minute,
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	resp.Body = closer{resp.Body, tr}
	if resp.ProtoMajor != 2 {
		return nil, errors.Join(fmt.Errorf("HTTP/%d", resp.ProtoMajor), resp.Body.Close())
	}
	return resp, nil
}

// closer ends the connection with the body.
type closer struct {
	io.ReadCloser
	tr *http.Transport
}

func (c closer) Close() error {
	defer c.tr.CloseIdleConnections()
	return c.ReadCloser.Close()
}
