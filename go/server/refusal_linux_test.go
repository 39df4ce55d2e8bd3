package server

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"etcha/go/token"
	"etcha/go/wire"
)

// jws makes a token by hand: what the token package would never make.
func jws(t testing.TB, header map[string]any, payload []byte, sign func(input []byte) []byte) string {
	t.Helper()
	h, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	enc := base64.RawURLEncoding
	input := enc.EncodeToString(h) + "." + enc.EncodeToString(payload)
	return input + "." + enc.EncodeToString(sign([]byte(input)))
}

// raw takes the Ed25519 key out of a private key.
func raw(t testing.TB, k token.PrivateKey) ed25519.PrivateKey {
	t.Helper()
	_, rest, _ := strings.Cut(k.Secret(), ":")
	text, _, _ := strings.Cut(rest, ":")
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	const seedAt = 16 // of the PKCS #8 form (RFC 8410, 7)
	return ed25519.NewKeyFromSeed(der[seedAt:])
}

func p384(t testing.TB, input []byte) []byte {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha512.Sum384(input)
	r, s, err := ecdsa.Sign(rand.Reader, k, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	sig := make([]byte, 96)
	r.FillBytes(sig[:48])
	s.FillBytes(sig[48:])
	return sig
}

// attempt is a request that must come to nothing.
type attempt struct {
	name   string
	method string // default POST
	path   string // default: the route of debug
	kind   string // content type, default the token's
	body   string
	code   wire.Code
}

// attempts is the table of tokens that are refused, each with the protocol's
// answer. The command of each would make the file that trace names.
func attempts(t *testing.T, n *testNode, trace string) []attempt {
	command := "/usr/bin/touch " + trace
	claims := func(change func(*wire.Claims)) wire.Claims {
		c := n.claims("debug", "", wire.Shell{Op: wire.OpOpen, Command: command})
		if change != nil {
			change(&c)
		}
		return c
	}
	signed := func(change func(*wire.Claims)) string { return n.sign(n.alice, claims(change)) }
	good, err := json.Marshal(claims(nil))
	if err != nil {
		t.Fatal(err)
	}
	ed := func(input []byte) []byte { return ed25519.Sign(raw(t, n.alice), input) }
	header := func(alg string) map[string]any { return map[string]any{"alg": alg, "typ": wire.TypeRequest} }
	with := func(name string, value any) map[string]any {
		h := header("EdDSA")
		h[name] = value
		return h
	}
	hs256 := func(key []byte) func([]byte) []byte {
		return func(input []byte) []byte {
			m := hmac.New(sha256.New, key)
			m.Write(input)
			return m.Sum(nil)
		}
	}
	pub, ok := raw(t, n.alice).Public().(ed25519.PublicKey)
	if !ok {
		t.Fatal("not an Ed25519 key")
	}
	stranger := newPrivate(t, "ed25519", "alice") // the same ID
	twice := strings.Replace(string(good), `"source":`, `"source":"other","source":`, 1)
	now := n.clock.now().Unix()
	session := wire.PathSession("debug", token.NewID())
	inside := func(source, session string) string {
		return n.sign(n.alice, n.claims(source, session, wire.Shell{Op: wire.OpInput, Data: []byte("x")}))
	}
	return []attempt{
		{name: "expired", body: signed(func(c *wire.Claims) { c.IssuedAt, c.NotBefore, c.Expires = now-10, now-10, now-5 }), code: wire.CodeExpired},
		{name: "living 6 s", body: signed(func(c *wire.Claims) { c.Expires = c.IssuedAt + 6 }), code: wire.CodeBadRequest},
		{name: "from the future", body: signed(func(c *wire.Claims) { c.IssuedAt, c.NotBefore, c.Expires = now+60, now+60, now+65 }), code: wire.CodeClockSkew},
		{name: "without life", body: signed(func(c *wire.Claims) { c.IssuedAt, c.NotBefore, c.Expires = 0, 0, 0 }), code: wire.CodeBadRequest},
		{name: "duplicate claims", body: jws(t, header("EdDSA"), []byte(twice), ed), code: wire.CodeBadRequest},
		{name: "claims are no object", body: jws(t, header("EdDSA"), []byte("[]"), ed), code: wire.CodeBadRequest},
		{name: "no operation", body: signed(func(c *wire.Claims) { c.Shell = nil }), code: wire.CodeBadRequest},
		{name: "operation of a session", body: signed(func(c *wire.Claims) { c.Shell.Op = wire.OpClose }), code: wire.CodeBadRequest},
		{name: "operation unknown", body: signed(func(c *wire.Claims) { c.Shell.Op = "dance" }), code: wire.CodeBadRequest},
		{name: "no jti", body: signed(func(c *wire.Claims) { c.ID = "" }), code: wire.CodeBadRequest},
		{name: "short jti", body: signed(func(c *wire.Claims) { c.ID = c.ID[:wire.MinJTI-1] }), code: wire.CodeBadRequest},
		{name: "long jti", body: signed(func(c *wire.Claims) { c.ID = strings.Repeat("a", wire.MaxJTI+1) }), code: wire.CodeBadRequest},
		{name: "unknown process", body: signed(func(c *wire.Claims) { c.Shell.Process = "worker" }), code: wire.CodeBadRequest},
		{
			name: "a command where none is allowed", path: wire.PathShell("fixed"), code: wire.CodeDenied,
			body: signed(func(c *wire.Claims) { c.Source = "fixed" }),
		},
		{name: "1 MiB of junk", body: strings.Repeat("junk", 1<<18), code: wire.CodeTooLarge},

		{name: "wrong audience", body: signed(func(c *wire.Claims) { c.Audience = wire.Audience{"SHA256:other"} })},
		{name: "no audience", body: signed(func(c *wire.Claims) { c.Audience = nil })},
		{name: "wrong audience, expired", body: signed(func(c *wire.Claims) { c.Audience, c.Expires = nil, now-5 })},
		{name: "unknown key", body: n.sign(stranger, claims(nil))},
		{name: "another source's key", body: n.sign(n.bob, claims(nil))},
		{name: "none", body: jws(t, header("none"), good, func([]byte) []byte { return nil })},
		{name: "none with a signature", body: jws(t, header("none"), good, ed)},
		{name: "HS256 with the public key's bytes", body: jws(t, header("HS256"), good, hs256(pub))},
		{name: "HS256 with the public key's DER", body: jws(t, header("HS256"), good, hs256(n.alice.Public().DER()))},
		{name: "HS256 with the public key's text", body: jws(t, header("HS256"), good, hs256([]byte(n.alice.Public().String())))},
		{name: "P-384", body: jws(t, header("ES384"), good, func(b []byte) []byte { return p384(t, b) })},
		{name: "P-384 as ES256", body: jws(t, header("ES256"), good, func(b []byte) []byte { return p384(t, b) })},
		{name: "crit", body: jws(t, with("crit", []string{"exp"}), good, ed)},
		{name: "b64 false", body: jws(t, with("b64", false), good, ed)},
		{name: "jwk in the header", body: jws(t, with("jwk", map[string]string{"kty": "OKP"}), good, ed)},
		{name: "typ of another kind", body: jws(t, map[string]any{"alg": "EdDSA", "typ": wire.TypeProof}, good, ed)},
		{name: "no typ", body: jws(t, map[string]any{"alg": "EdDSA"}, good, ed)},
		{name: "algorithm in lower case", body: jws(t, header("eddsa"), good, ed)},
		{name: "signature cut short", body: strings.TrimRight(signed(nil), "AEIMQUYcgkosw048")[:200]},
		{name: "two tokens", body: signed(nil) + "." + signed(nil)},
		{name: "white space", body: " " + signed(nil)},
		{name: "empty", body: ""},
		{name: "junk", body: "junk"},
		{name: "dots", body: ".."},
		{name: "moved to another source", path: wire.PathShell("other"), body: signed(nil)},
		{name: "unknown source", path: wire.PathShell("nothing"), body: signed(func(c *wire.Claims) { c.Source = "nothing" })},
		{name: "source without a shell", path: wire.PathShell("no-shell"), body: signed(func(c *wire.Claims) { c.Source = "no-shell" })},
		{name: "open as a session", path: session, body: signed(nil)},
		{name: "unknown session", path: session, body: inside("debug", session[strings.LastIndex(session, "/")+1:])},
		{name: "unknown session, junk", path: session, body: "junk"},
		{name: "session of an unknown source", path: wire.PathSession("nothing", "x"), body: inside("nothing", "x")},
		{name: "another content type", kind: "text/plain", body: signed(nil)},
		{name: "no content type", kind: "-", body: signed(nil)},
		{name: "GET", method: http.MethodGet, body: signed(nil)},
		{name: "PUT", method: http.MethodPut, body: signed(nil)},
		{name: "OPTIONS", method: http.MethodOptions, body: signed(nil)},
		{name: "another path", path: "/", body: signed(nil)},
		{name: "path not in its shortest form", path: wire.Prefix + "//shell/debug", body: signed(nil)},
		{name: "path with dots", path: wire.Prefix + "/x/../shell/debug", body: signed(nil)},
		{name: "path with a slash at its end", path: wire.PathShell("debug") + "/", body: signed(nil)},
		{name: "path too deep", path: wire.PathSession("debug", "x") + "/y", body: signed(nil)},
		{name: "metrics without a key", path: wire.PathMetrics, method: http.MethodGet},
		{name: "metrics with a key", path: wire.PathMetrics + "?key=secret", method: http.MethodGet},
		{name: "node without a nonce", path: wire.PathNode, method: http.MethodGet},
		{name: "node with a strange nonce", path: wire.PathNode + "?nonce=%22", method: http.MethodGet},
		{name: "node with a long nonce", path: wire.PathNode + "?nonce=" + strings.Repeat("a", wire.MaxNonce+1), method: http.MethodGet},
		{name: "node by POST", path: wire.PathNode + "?nonce=abc"},
	}
}

// TestRefusals: each gets the protocol's answer, what is not verified gets the
// same bytes, and nothing is started.
func TestRefusals(t *testing.T) {
	n := newNode(t)
	n.clock.set(time.Now())
	trace := filepath.Join(t.TempDir(), "trace")
	for _, version := range []struct {
		name   string
		client *http.Client
	}{{"HTTP/1.1", n.h1}, {"HTTP/2", n.h2}} {
		uniform := n.send(version.client, http.MethodPost, wire.PathShell("nothing"), wire.TypeJWT, "junk")
		uniform.want(t, wire.CodeNotFound)
		for _, a := range attempts(t, n, trace) {
			t.Run(version.name+"/"+a.name, func(t *testing.T) {
				got := n.attempt(version.client, a)
				if a.code == "" && got != uniform {
					t.Errorf("answer differs from the uniform one:\n%+v\n%+v", got, uniform)
				}
				if a.code != "" {
					got.want(t, a.code)
				}
				if a.code == wire.CodeExpired || a.code == wire.CodeClockSkew {
					if now := n.clock.now().Unix(); got.problem.Now != now {
						t.Errorf("the node's clock is said to be %d, and is %d", got.problem.Now, now)
					}
				}
				if s, err := NodeStatus(t.Context(), n.config.Run.StateDir); err != nil || s.Sessions != 0 {
					t.Errorf("%d sessions, %v", s.Sessions, err)
				}
			})
		}
	}
	if _, err := os.Stat(trace); err == nil {
		t.Error("a refused request started a process")
	}
}

func (n *testNode) attempt(c *http.Client, a attempt) answer {
	n.t.Helper()
	method, path, kind := a.method, a.path, a.kind
	if method == "" {
		method = http.MethodPost
	}
	if path == "" {
		path = wire.PathShell("debug")
	}
	switch kind {
	case "":
		kind = wire.TypeJWT
	case "-":
		kind = ""
	}
	return n.send(c, method, path, kind, a.body)
}

// What is refused says nothing to its sender; the log and the metrics know why.
func TestRefusalsAreLogged(t *testing.T) {
	n := newNode(t)
	n.clock.set(time.Now())
	stranger := newPrivate(t, "ed25519", "mallory")
	open := wire.Shell{Op: wire.OpOpen}
	moved := n.sign(n.alice, n.claims("debug", "", open))
	foreign := n.claims("debug", "", open)
	foreign.Audience = nil
	late := n.claims("debug", "", open)
	late.IssuedAt, late.NotBefore, late.Expires, late.Subject = late.IssuedAt-99, late.NotBefore-99, late.Expires-99, "laptop"
	for _, c := range []struct{ path, tok, reason, text string }{
		{wire.PathShell("debug"), n.sign(stranger, n.claims("debug", "", open)), "bad_token", "no signature by one of"},
		{wire.PathShell("nothing"), moved, "unknown_source", "source=nothing"},
		{wire.PathShell("no-shell"), moved, "no_shell", "source=no-shell"},
		{wire.PathShell("other"), moved, "wrong_route", "another source or session"},
		{wire.PathShell("debug"), n.sign(n.alice, foreign), "wrong_audience", "another node"},
		{wire.PathSession("debug", "abc"), moved, "unknown_session", "session=abc"},
		{wire.PathShell("debug"), n.sign(n.alice, late), "expired", "subject=alice"},
	} {
		before := len(n.log.String())
		n.post(c.path, c.tok)
		eventually(t, c.reason+" is logged", func() bool {
			line := n.log.String()[before:]
			return strings.Contains(line, "reason="+c.reason) && strings.Contains(line, c.text) && strings.Contains(line, "peer=127.0.0.1")
		})
		if strings.Contains(n.log.String(), c.tok) {
			t.Errorf("%s: the token is in the log", c.reason)
		}
	}
}

func TestNodeAnswer(t *testing.T) {
	n := newNode(t)
	r := n.send(n.h2, http.MethodGet, wire.PathNode+"?nonce=abc-_9", "", "")
	var a wire.NodeAnswer
	if err := json.Unmarshal([]byte(r.body), &a); err != nil || r.status != http.StatusOK {
		t.Fatalf("%d %s: %v", r.status, r.body, err)
	}
	c, key, err := token.VerifyNode([]byte(a.Token), "abc-_9")
	if err != nil {
		t.Fatal(err)
	}
	if c.Node != n.info.ID || key.Thumbprint() != n.info.ID || c.Protocol != wire.Protocol || c.Version != "test" {
		t.Errorf("got %+v, node %s", c, n.info.ID)
	}
	if d := time.Since(time.Unix(c.IssuedAt, 0)); d < -2*time.Second || d > patience {
		t.Errorf("the clock is off by %s", d)
	}
	head := n.send(n.h2, http.MethodHead, wire.PathNode+"?nonce=abc", "", "")
	if head.status != http.StatusNotFound {
		t.Errorf("HEAD: %d", head.status)
	}
}

// The TLS key is the identity's, so that a client can check both at once.
func TestCertificateIsOfTheIdentity(t *testing.T) {
	n := newNode(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.info.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := n.h2.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	sum := sha256.Sum256(resp.TLS.PeerCertificates[0].RawSubjectPublicKeyInfo)
	if id := "SHA256:" + base64.RawStdEncoding.EncodeToString(sum[:]); id != n.info.ID {
		t.Errorf("the certificate's key is %s, the node's ID %s", id, n.info.ID)
	}
	if resp.ProtoMajor != 2 {
		t.Errorf("HTTP/%d", resp.ProtoMajor)
	}
}
