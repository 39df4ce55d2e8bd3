package wire

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
)

// What travels is written here as it is on the wire: a change of it is a change
// of the protocol.
func TestGolden(t *testing.T) {
	offset, room := uint64(7), uint64(9)
	for _, c := range []struct {
		value any
		text  string
	}{
		{
			&Claims{
				Audience: Audience{"SHA256:n"}, IssuedAt: 1, NotBefore: 1, Expires: 6, ID: "j", Subject: "alice", Source: "debug",
				Confirm: &Confirmation{JWK{"OKP", "Ed25519", "x"}},
				Shell:   &Shell{Op: OpOpen, Cols: 80, Rows: 24, Term: "xterm", Env: map[string]string{"LANG": "C"}, PTY: true},
			},
			`{"aud":"SHA256:n","iat":1,"nbf":1,"exp":6,"jti":"j","sub":"alice","source":"debug",` +
				`"cnf":{"jwk":{"kty":"OKP","crv":"Ed25519","x":"x"}},` +
				`"etchaShell":{"op":"open","cols":80,"rows":24,"term":"xterm","env":{"LANG":"C"},"pty":true}}`,
		},
		{
			&Claims{
				Audience: Audience{"a", "b"}, IssuedAt: 1, NotBefore: 1, Expires: 6, Source: "debug", Session: "s",
				Shell: &Shell{Op: OpInput, Offset: 3, Data: []byte("ls\n"), EOF: true, Ack: 4},
			},
			`{"aud":["a","b"],"iat":1,"nbf":1,"exp":6,"source":"debug","session":"s",` +
				`"etchaShell":{"op":"input","offset":3,"data":"bHMK","eof":true,"ack":4}}`,
		},
		{&Shell{Op: OpSignal, Seq: 2, Signal: "INT"}, `{"op":"signal","seq":2,"signal":"INT"}`},
		{&Shell{Op: OpResize, Cols: 1, Rows: 2, Seq: 3}, `{"op":"resize","cols":1,"rows":2,"seq":3}`},
		{&Answer{Offset: 1, Room: 2, Seq: 3}, `{"offset":1,"room":2,"seq":3}`},
		{&InputState{Offset: 1, Room: 2}, `{"offset":1,"room":2}`},
		{&Notice{Code: NoticeIdle, Message: "m"}, `{"code":"idle","message":"m"}`},
		{&Exit{Code: 143, Signal: "TERM", Reason: ReasonExited}, `{"code":143,"signal":"TERM","reason":"exited"}`},
		{
			&Session{Session: "s", Node: "n", Source: "debug", User: "u", Started: 1, Window: 2, OutputStart: 3, InputOffset: 4, Seq: 5, ResumeFor: 300, IdleTimeout: 1800, EndsAt: 6, Proof: "p"},
			`{"session":"s","node":"n","source":"debug","user":"u","started":1,"window":2,"outputStart":3,"inputOffset":4,` +
				`"seq":5,"resumeFor":300,"idleTimeout":1800,"endsAt":6,"dropped":0,"proof":"p"}`,
		},
		{
			&Problem{Title: "Conflict", Status: 409, Code: CodeOffset, Detail: "d", Offset: &offset, Room: &room},
			`{"title":"Conflict","status":409,"code":"offset","detail":"d","offset":7,"room":9}`,
		},
	} {
		b, err := json.Marshal(c.value)
		if err != nil || string(b) != c.text {
			t.Errorf("%T is sent as\n%s\nwant\n%s (%v)", c.value, b, c.text, err)
		}
		back := reflect.New(reflect.TypeOf(c.value).Elem()).Interface()
		if err := json.Unmarshal([]byte(c.text), back); err != nil || !reflect.DeepEqual(back, c.value) {
			t.Errorf("%s is read as %+v (%v)", c.text, back, err)
		}
	}
}

func TestAudience(t *testing.T) {
	for _, bad := range []string{`null`, `7`, `{}`, `["a",7]`, `["a",null]`, `[null`, `true`} {
		var a Audience
		if err := json.Unmarshal([]byte(bad), &a); err == nil {
			t.Errorf("%s is accepted as %q", bad, a)
		}
	}
	var a Audience
	if err := a.UnmarshalJSON([]byte(`7`)); !errors.Is(err, ErrAudience) {
		t.Errorf("a number: %v", err)
	}
	if a = (Audience{"x", "y"}); !a.Contains("y") || a.Contains("") || a.Contains("z") {
		t.Error("Contains is wrong")
	}
}

// A name from a user cannot leave its place in a path.
func TestPaths(t *testing.T) {
	for source, want := range map[string]string{
		"debug": "/etcha/v1/shell/debug/s", "a/b": "/etcha/v1/shell/a%2Fb/s", "..": "/etcha/v1/shell/../s", "a?b#c": "/etcha/v1/shell/a%3Fb%23c/s",
	} {
		if got := PathSession(source, "s"); got != want {
			t.Errorf("%q has the path %s, want %s", source, got, want)
		}
	}
	if !strings.HasPrefix(PatternSession, PatternShell) || !strings.HasPrefix(PathNode, Prefix) {
		t.Error("routes do not fit together")
	}
}

func TestSignals(t *testing.T) {
	for _, name := range Signals() {
		if !KnownSignal(name) || strings.HasPrefix(name, "SIG") {
			t.Errorf("%s", name)
		}
	}
	for _, name := range []string{"", "SIGINT", "int", "STOP", "9"} {
		if KnownSignal(name) {
			t.Errorf("%q may be sent", name)
		}
	}
	Signals()[0] = "STOP"
	if KnownSignal("STOP") {
		t.Error("the list of signals can be changed from outside")
	}
}

func TestStatus(t *testing.T) {
	for code, want := range map[Code]int{
		CodeNotFound: 404, CodeBadRequest: 400, CodeExpired: 401, CodeClockSkew: 401, CodeDenied: 403, CodeReplayed: 409, CodeOffset: 409,
		CodeEnded: 410, CodeTooLarge: 413, CodeTimeout: 408, CodeLimited: 429, CodeInternal: 500, CodeDraining: 503, CodeUnready: 503, "?": 500,
	} {
		if got := code.Status(); got != want {
			t.Errorf("%s has the status %d, want %d", code, got, want)
		}
		if code.Retryable() != (code == CodeExpired || code == CodeClockSkew || code == CodeReplayed) {
			t.Errorf("%s: retryable is %v", code, code.Retryable())
		}
	}
}

// A full input chunk fits into a request's body as a token of a token's base64.
func TestLimitsFitTogether(t *testing.T) {
	if MaxInput*4/3*4/3+MaxHeader > MaxBody {
		t.Error("a full input chunk does not fit into a body")
	}
	if AckEvery*2 > InitialFlight || InitialFlight > DefaultWindow || LostJournalWait <= MaxTokenLife+ClockLeeway {
		t.Error("limits contradict each other")
	}
}

func FuzzClaims(f *testing.F) {
	f.Add([]byte(`{"aud":["a"],"iat":1,"nbf":1,"exp":6,"etchaShell":{"op":"input","data":"bHMK"}}`))
	f.Add([]byte(`{"aud":"a","cnf":{"jwk":{"kty":"OKP"}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var c, again Claims
		if json.Unmarshal(b, &c) != nil {
			return
		}
		text, err := json.Marshal(&c)
		if err != nil {
			t.Fatalf("%q is read and cannot be written: %v", b, err)
		}
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatalf("%q is written as %s, which cannot be read: %v", b, text, err)
		}
	})
}
