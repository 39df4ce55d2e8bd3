//go:build linux

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"etcha/go/wire"
)

// attempt is a request that must come to nothing.
type attempt struct {
	name string
	path string
	body string
	code wire.Code // "": the answer that says nothing
}

// sessions are what the attempts are made against.
type sessions struct{ alices, second, bobs, over *victim }

// Every hostile token gets the protocol's answer, by both versions of HTTP; what
// is not verified gets the bytes that an unknown source gets; and none starts or
// touches a process.
func TestHostileTokens(t *testing.T) {
	a := newAttacked(t)
	s := sessions{a.open(a.alice, "debug"), a.open(a.alice, "debug"), a.open(a.bob, "bob's"), a.open(a.alice, "debug")}
	s.over.close()
	before := a.held()
	if len(before.pids) != 3 {
		t.Fatalf("%d processes of 3 sessions are found", len(before.pids))
	}
	for _, version := range []struct {
		name string
		post post
	}{{"HTTP/1.1", byHTTP1}, {"HTTP/2", byHTTP2}} {
		// The path is as long as the real one: nothing else may differ.
		uniform := version.post(t, a.Addr, wire.PathShell("nones"), "junk")
		if code, status := uniform.code(t); code != wire.CodeNotFound || status != 404 {
			t.Fatalf("an unknown source:\n%s", uniform)
		}
		large := version.post(t, a.Addr, wire.PathShell("nones"), strings.Repeat("junk", 1<<18))
		for i := range a.attempts(s) {
			try := a.attempts(s)[i] // made now: a table lives longer than its tokens
			t.Run(version.name+"/"+try.name, func(t *testing.T) {
				got := version.post(t, a.Addr, try.path, try.body)
				switch code, status := got.code(t); {
				case try.code == "" && got != uniform:
					t.Errorf("the answer is not that of an unknown source:\n%s\n%s", got, uniform)
				case try.code == wire.CodeTooLarge && got != large:
					t.Errorf("the answer depends on the source:\n%s\n%s", got, large)
				case try.code != "" && (code != try.code || status != code.Status()):
					t.Errorf("%d %s, want %d %s\n%s", status, code, try.code.Status(), try.code, got)
				}
				a.unchanged(t, before)
			})
		}
	}
	for _, v := range []*victim{s.alices, s.second, s.bobs} {
		v.echo("all well")
	}
	// What counts here does count.
	a.open(a.alice, "debug")
	if now := a.held(); now.started == before.started || now.input == before.input || len(now.pids) != 4 {
		t.Errorf("honest requests do not show in what is compared: %+v", now)
	}
}

// attempts is the table; each call makes fresh tokens.
func (a *attacked) attempts(s sessions) []attempt {
	all := append(a.lives(), a.signatures()...)
	all = append(all, a.headers()...)
	all = append(all, a.payloads()...)
	return append(all, a.moved(s)...)
}

// touch is an open whose command would run: the detector would see it.
func (a *attacked) touch() object {
	return a.claims("debug", "", object{"op": "open", "command": "/bin/sleep 1000"})
}

// debug is an attempt to open a session of the source debug.
func debug(name, body string, code wire.Code) attempt {
	return attempt{name, wire.PathShell("debug"), body, code}
}

// lives are tokens of the right key at the wrong time or for another node.
func (a *attacked) lives() []attempt {
	now := time.Now().Unix()
	try := func(name string, code wire.Code, others object) attempt {
		return debug(name, a.alice.token(a.t, with(a.touch(), others)), code)
	}
	return []attempt{
		try("expired", wire.CodeExpired, object{"iat": now - 10, "nbf": now - 10, "exp": now - 5}),
		try("living 6 s", wire.CodeBadRequest, object{"exp": now + 6}),
		try("living for ever", wire.CodeBadRequest, object{"exp": int64(1) << 62}),
		try("without a time", wire.CodeBadRequest, object{"iat": nil, "nbf": nil, "exp": nil}),
		try("times that overflow", wire.CodeBadRequest, object{"iat": -(int64(1) << 62), "exp": int64(1) << 62}),
		try("from the future", wire.CodeClockSkew, object{"iat": now + 60, "nbf": now + 60, "exp": now + 65}),
		try("wrong audience", "", object{"aud": "SHA256:" + strings.Repeat("A", 43)}),
		try("wrong audience and expired", "", object{"aud": "SHA256:x", "iat": now - 10, "nbf": now - 10, "exp": now - 5}),
		try("no audience", "", object{"aud": nil}),
		try("no jti", wire.CodeBadRequest, object{"jti": nil}),
		try("short jti", wire.CodeBadRequest, object{"jti": "1"}),
	}
}

// signatures are tokens that the source's key did not sign as it must.
func (a *attacked) signatures() []attempt {
	mallory := newTestKey(a.t, "alice")
	good := a.alice.token(a.t, a.touch())
	input := good[:strings.LastIndex(good, ".")]
	none := func([]byte) []byte { return nil }
	by := func(name, alg string, sign signature) attempt {
		return debug(name, jws(a.t, headerOf(alg), a.touch(), sign), "")
	}
	return []attempt{
		by("unknown key", "EdDSA", mallory.sign),
		by("another source's key", "EdDSA", a.bob.sign),
		by("none", "none", none),
		by("None", "None", none),
		by("none with a signature", "none", a.alice.sign),
		by("no signature", "EdDSA", none),
		by("a signature of zeros", "EdDSA", func([]byte) []byte { return make([]byte, 64) }),
		by("HS256 with the public key's bytes", "HS256", hs256(a.alice.bytes())),
		by("HS256 with the public key's DER", "HS256", hs256(pkix(a.t, a.alice.bytes()))),
		by("HS256 with the public key's text", "HS256", hs256([]byte(a.alice.public))),
		by("P-384", "ES384", es384(a.t)),
		by("P-384 as ES256", "ES256", es384(a.t)),
		by("Ed25519 as ES256", "ES256", a.alice.sign),
		debug("signature of another token", input+"."+b64.EncodeToString(a.alice.sign([]byte("other"))), ""),
		debug("signature without its last byte", input+"."+b64.EncodeToString(a.alice.sign([]byte(input))[:63]), ""),
		debug("padded", good+"=", ""),
		debug("with a line's end", good+"\n", ""),
		debug("twice", good+"."+good, ""),
		debug("1 MiB of junk", strings.Repeat("junk", 1<<18), wire.CodeTooLarge),
		debug("a limit's worth of junk", strings.Repeat(".", wire.MaxBody), ""),
		debug("nothing", "", ""),
	}
}

// headers are tokens of the right key whose header says too much.
func (a *attacked) headers() []attempt {
	by := func(name string, others object) attempt {
		return debug(name, jws(a.t, with(headerOf("EdDSA"), others), a.touch(), a.alice.sign), "")
	}
	raw := func(name, header string) attempt {
		return debug(name, compact([]byte(header), jsonOf(a.t, a.touch()), a.alice.sign), "")
	}
	typ := wire.TypeRequest
	return []attempt{
		by("crit", object{"crit": []string{"exp"}}),
		by("empty crit", object{"crit": []string{}}),
		by("b64 false", object{"b64": false}),
		by("its own key", object{"jwk": object{"kty": "OKP", "crv": "Ed25519", "x": b64.EncodeToString(a.alice.bytes())}}),
		by("a key to fetch", object{"jku": "https://" + a.Addr + "/keys"}),
		by("compressed", object{"zip": "DEF"}),
		by("typ of a proof", object{"typ": wire.TypeProof}),
		by("no typ", object{"typ": nil}),
		raw("duplicate alg", `{"alg":"none","alg":"EdDSA","typ":"`+typ+`"}`),
		raw("duplicate typ", `{"alg":"EdDSA","typ":"JWT","typ":"`+typ+`"}`),
		raw("duplicate by an escape", `{"alg":"EdDSA","\u0061lg":"none","typ":"`+typ+`"}`),
		raw("something behind the header", `{"alg":"EdDSA","typ":"`+typ+`"}{}`),
	}
}

// payloads are tokens of the right key whose claims cannot be understood in one
// way only, or ask for what is not allowed.
func (a *attacked) payloads() []attempt {
	raw := func(name string, code wire.Code, change func(string) string) attempt {
		return debug(name, compact(jsonOf(a.t, headerOf("EdDSA")), []byte(change(string(jsonOf(a.t, a.touch())))), a.alice.sign), code)
	}
	first := func(member string) func(string) string {
		return func(s string) string { return "{" + member + "," + s[1:] }
	}
	fixed := func(name string, shell object, code wire.Code) attempt {
		c := a.claims("fixed", "", with(object{"op": "open"}, shell))
		return attempt{name, wire.PathShell("fixed"), a.alice.token(a.t, c), code}
	}
	return []attempt{
		raw("duplicate source", wire.CodeBadRequest, first(`"source":"other"`)),
		raw("duplicate exp", wire.CodeBadRequest, first(`"exp":1`)),
		raw("duplicate aud", wire.CodeBadRequest, first(`"aud":"SHA256:x"`)),
		raw("duplicate by case", wire.CodeBadRequest, first(`"JTI":"`+randomID()+`"`)),
		raw("duplicate in the operation", wire.CodeBadRequest, func(s string) string {
			return strings.Replace(s, `"op":"open"`, `"op":"close","op":"open"`, 1)
		}),
		raw("no object", wire.CodeBadRequest, func(string) string { return "[]" }),
		raw("too deep", wire.CodeBadRequest, first(`"x":`+strings.Repeat("[", 10000)+strings.Repeat("]", 10000))),
		fixed("a command where none is allowed", object{"command": "/bin/sleep 1000"}, wire.CodeDenied),
		fixed("arguments where none are allowed", object{"args": []string{"/bin/sleep", "1000"}}, wire.CodeDenied),
		fixed("a process that is none", object{"process": "/bin/sleep"}, wire.CodeBadRequest),
		fixed("a variable that is none", object{"env": object{"A=B\nC": "x"}}, wire.CodeBadRequest),
	}
}

// moved are tokens for another place than they are sent to.
func (a *attacked) moved(s sessions) []attempt {
	open := a.alice.token(a.t, a.touch())
	all := []attempt{
		{"an open moved to another source", wire.PathShell("other"), open, ""},
		{"an open moved to a source without a shell", wire.PathShell("plain"), open, ""},
		{"an open moved into a session", s.alices.path(), open, ""},
		{"an open of an unknown source", wire.PathShell("nones"), a.alice.token(a.t, a.claims("nones", "", object{"op": "open"})), ""},
		{"an open by a close", wire.PathShell("debug"), a.alice.token(a.t, a.claims("debug", "", object{"op": "close", "seq": 1})), wire.CodeBadRequest},
		{"an input moved to another session", s.second.path(), s.alices.request(object{"op": "input", "data": []byte("stray")}), ""},
		{"an input moved to an open", wire.PathShell("debug"), s.alices.request(object{"op": "input", "data": []byte("stray")}), ""},
		{"a session under another source", wire.PathSession("other", s.alices.id), s.alices.request(object{"op": "close", "seq": 1}), ""},
		{"an unknown session", wire.PathSession("debug", randomID()), a.alice.token(a.t, a.claims("debug", randomID(), object{"op": "close", "seq": 1})), ""},
		{"an ended session", s.over.path(), s.over.request(object{"op": "input", "data": []byte("late")}), wire.CodeEnded},
		{"an ended session by another key", s.over.path(), a.bob.token(a.t, a.claims("debug", s.over.id, object{"op": "ack"})), ""},
	}
	for _, shell := range []object{
		{"op": "input", "data": []byte("stray")},
		{"op": "resize", "seq": 9, "cols": 1, "rows": 1},
		{"op": "signal", "seq": 9, "signal": "KILL"},
		{"op": "ack", "ack": 1},
		{"op": "close", "seq": 9},
		{"op": "attach"},
	} {
		c := a.claims("bob's", s.bobs.id, shell)
		all = append(all, attempt{fmt.Sprintf("another key's session: %s", shell["op"]), s.bobs.path(), a.alice.token(a.t, c), ""})
	}
	return all
}
