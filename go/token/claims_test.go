package token

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"etcha/go/errs"
	"etcha/go/wire"
)

func TestDecodeClaims(t *testing.T) {
	want := wire.Claims{
		Audience: wire.Audience{"n1", "n2"}, IssuedAt: 1, NotBefore: 2, Expires: 3, ID: "id", Subject: "me",
		Source: "debug", Session: "s", Confirm: &wire.Confirmation{JWK: wire.JWK{KeyType: "OKP", Curve: "Ed25519", X: "x"}},
		Shell: &wire.Shell{
			Op: wire.OpOpen, Cols: 80, Rows: 24, Env: map[string]string{"TERM": "xterm", "term": "x", "OP": "y"},
			Args: []string{"a", "b"}, Data: []byte("data"), Offset: math.MaxUint64,
		},
	}
	got, err := DecodeClaims(mustJSON(t, want))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestDecodeClaimsAccepts(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":           `{}`,
		"white space":       " {\r\n\t\"exp\" : 5 } ",
		"unknown":           `{"new":{"deep":[1,{"exp":[{}]}]},"exp":5,"other":null}`,
		"unknown, same":     `{"a":{"x":1},"b":{"x":1}}`,
		"one audience":      `{"aud":"n"}`,
		"null":              `{"etchaShell":null,"cnf":null,"aud":["n"]}`,
		"env, case differs": `{"etchaShell":{"env":{"Path":"a","PATH":"b","op":"c"}}}`,
		"pair of surrogate": `{"sub":"\ud83d\ude00"}`,
		"escaped name":      `{"e\u0078p":5}`,
		"depth 32":          nest(31),
		"many members":      manyMembers(2000, ""),
	} {
		if _, err := DecodeClaims([]byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDecodeClaimsRefuses(t *testing.T) {
	long := base64.StdEncoding.EncodeToString(make([]byte, 3*longData))
	for name, text := range map[string]string{
		"empty":                  ``,
		"blank":                  ` `,
		"list":                   `[]`,
		"null":                   `null`,
		"text":                   `"x"`,
		"number":                 `1`,
		"open":                   `{`,
		"unclosed":               `{"exp":5`,
		"unclosed text":          `{"exp`,
		"trailing comma":         `{"exp":5,}`,
		"leading comma":          `{,"exp":5}`,
		"two commas":             `{"exp":5,,"iat":1}`,
		"no colon":               `{"exp" 5}`,
		"no value":               `{"exp":}`,
		"name without quotes":    `{exp:5}`,
		"single quotes":          `{'exp':5}`,
		"comment":                `{/**/"exp":5}`,
		"behind":                 `{"exp":5}{}`,
		"zero byte behind":       "{\"exp\":5}\x00",
		"text behind":            `{"exp":5} x`,
		"BOM":                    "\ufeff{}",
		"twice":                  `{"exp":5,"exp":6}`,
		"twice, the same":        `{"exp":5,"exp":5}`,
		"twice, escaped":         `{"exp":5,"\u0065xp":6}`,
		"twice, unknown":         `{"x":5,"x":6}`,
		"twice, empty name":      `{"":5,"":6}`,
		"twice in the shell":     `{"etchaShell":{"op":"open","op":"close"}}`,
		"twice in env":           `{"etchaShell":{"env":{"A":"1","A":"2"}}}`,
		"twice in cnf":           `{"cnf":{"jwk":{"x":"1","x":"2"}}}`,
		"twice in what is new":   `{"new":[{"deep":{"x":1,"x":2}}]}`,
		"shell twice":            `{"etchaShell":{"op":"input"},"etchaShell":{"op":"open"}}`,
		"twice, far apart":       manyMembers(100, `"m3":1,`),
		"case":                   `{"EXP":5}`,
		"case beside":            `{"exp":5,"Exp":6}`,
		"case in the shell":      `{"etchaShell":{"Op":"open"}}`,
		"case of the shell":      `{"etchashell":{"op":"open"}}`,
		"case in cnf":            `{"cnf":{"JWK":{}}}`,
		"case, Kelvin":           "{\"etchaShell\":{\"ac\u212a\":5}}",
		"case, long s":           "{\"ses\u017fion\":\"x\"}",
		"case, escaped":          `{"e\u0058p":5}`,
		"not UTF-8":              "{\"sub\":\"\xff\"}",
		"not UTF-8, name":        "{\"\xff\":1}",
		"not UTF-8, overlong":    "{\"sub\":\"\xc0\x80\"}",
		"not UTF-8, surrogate":   "{\"sub\":\"\xed\xa0\x80\"}",
		"not UTF-8, cut":         "{\"sub\":\"\xe2\x82\"}",
		"high surrogate":         `{"sub":"\ud800"}`,
		"low surrogate":          `{"sub":"\udc00"}`,
		"surrogates swapped":     `{"sub":"\ude00\ud83d"}`,
		"high, no low":           `{"sub":"\ud800\u0041"}`,
		"high, no escape":        `{"sub":"\ud800x"}`,
		"unknown escape":         `{"sub":"\x41"}`,
		"short escape":           `{"sub":"\u00"}`,
		"cut escape":             `{"sub":"\`,
		"no hex":                 `{"sub":"\u00zz"}`,
		"control character":      "{\"sub\":\"\n\"}",
		"exp with fraction":      `{"exp":5.5}`,
		"exp with exponent":      `{"exp":5e0}`,
		"exp too large":          `{"exp":9223372036854775808}`,
		"exp as text":            `{"exp":"5"}`,
		"exp as a list":          `{"exp":[5]}`,
		"exp true":               `{"exp":true}`,
		"exp, leading zero":      `{"exp":05}`,
		"exp, plus":              `{"exp":+5}`,
		"exp NaN":                `{"exp":NaN}`,
		"exp, letters":           `{"exp":abc}`,
		"cols negative":          `{"etchaShell":{"cols":-1}}`,
		"cols too large":         `{"etchaShell":{"cols":65536}}`,
		"aud number":             `{"aud":1}`,
		"aud list of numbers":    `{"aud":[1]}`,
		"aud object":             `{"aud":{}}`,
		"data no base64":         `{"etchaShell":{"data":"!"}}`,
		"long data no base64":    `{"etchaShell":{"data":"` + long + `!"}}`,
		"long data, shell wrong": `{"etchaShell":{"op":1,"data":"` + long + `"}}`,
		"long data twice":        `{"etchaShell":{"data":"` + long + `","data":"` + long + `"}}`,
		"depth 33":               nest(32),
		"depth 100000":           nest(100000),
		"depth of lists":         `{"x":` + strings.Repeat("[", 100000),
	} {
		got, err := DecodeClaims([]byte(text))
		if err == nil {
			t.Errorf("%s: read as %+v", name, got)
			continue
		}
		if errs.CodeOf(err) != wire.CodeBadRequest || !errors.Is(err, ErrInvalid) || len(err.Error()) > 300 {
			t.Errorf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(got, wire.Claims{}) {
			t.Errorf("%s: claims beside the error", name)
		}
	}
	// A name in an error is cut.
	_, err := DecodeClaims([]byte(`{"` + strings.Repeat("x", 1000) + `":1,"` + strings.Repeat("x", 1000) + `":2}`))
	if err == nil || len(err.Error()) > 300 {
		t.Errorf("%d bytes of error", len(fmt.Sprint(err)))
	}
}

// The scanner by itself: what the decoder behind it would refuse as well.
func TestCheckObject(t *testing.T) {
	for text, want := range map[string]error{
		`{} `:           nil,
		`{}{}`:          errTrailing,
		`{}x`:           errTrailing,
		`[]`:            errNoObject,
		``:              errNoObject,
		`{"a":1,}`:      errSyntax,
		`{"a":[1,]}`:    errSyntax,
		`{"a":[1 2]}`:   errSyntax,
		`{"a":1 "b":2}`: errSyntax,
		`{"a"}`:         errSyntax,
		`{"a":"x`:       errSyntax,
		`{"a":-}`:       nil, // the grammar of numbers is the decoder's
	} {
		if _, err := checkObject([]byte(text), nil); !errors.Is(err, want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// nest is an object with n values below one another.
func nest(n int) string {
	return strings.Repeat(`{"x":`, n) + "{}" + strings.Repeat("}", n)
}

func manyMembers(n int, last string) string {
	var b strings.Builder
	b.WriteString("{")
	for i := range n {
		fmt.Fprintf(&b, `"m%d":1,`, i)
	}
	return b.String() + last + `"exp":5}`
}

// The long data is decoded apart; that makes no difference.
func TestDecodeLongData(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := wire.Claims{
			Source: rapid.String().Draw(t, "source"),
			Pad:    rapid.StringN(0, 40, -1).Draw(t, "pad"),
			Shell: &wire.Shell{
				Op:    wire.OpInput,
				Data:  make([]byte, rapid.IntRange(longData/2, longData).Draw(t, "size")),
				Title: rapid.String().Draw(t, "title"),
				Seq:   rapid.Uint64().Draw(t, "seq"),
			},
		}
		copy(c.Shell.Data, rapid.SliceOfN(rapid.Byte(), 1, 50).Draw(t, "data"))
		payload, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "escaped") {
			payload = []byte(strings.Replace(string(payload), `"data":"`, `"data":"\u0041\u0041\u0041\u0041`, 1))
			c.Shell.Data = append([]byte{0, 0, 0}, c.Shell.Data...)
		}
		got, err := DecodeClaims(payload)
		if err != nil {
			t.Fatal(err)
		}
		var want wire.Claims
		if err := json.Unmarshal(payload, &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(got.Shell.Data, c.Shell.Data) {
			t.Fatal("the claims differ")
		}
	})
}

// Every member of the payloads is in the shapes: a new one must be guarded too.
func TestSchemas(t *testing.T) {
	for _, c := range []struct {
		s    *schema
		path string
		ok   bool
	}{
		{claimsSchema, "exp", true},
		{claimsSchema, "etchaShell/op", true},
		{claimsSchema, "etchaShell/env", true},
		{claimsSchema, "cnf/jwk/x", true},
		{claimsSchema, "aud", true},
		{claimsSchema, "op", false},
		{proofSchema, "request", true},
		{proofSchema, "key", true},
		{nodeSchema, "nonce", true},
	} {
		s, ok := c.s, true
		for name := range strings.SplitSeq(c.path, "/") {
			var below *schema
			if below, ok = s.fields[name]; ok {
				s = below
			}
		}
		if ok != c.ok {
			t.Errorf("%s: %v", c.path, ok)
		}
	}
	if claimsSchema.fields["etchaShell"].fields["env"] != nil || claimsSchema.fields["aud"] != nil {
		t.Error("names in env are guarded, or the audience has a shape")
	}
	if s := schemaOf(reflect.TypeFor[map[string][]wire.JWK]()); s.elem.elem.fields["kty"] != nil || len(s.elem.elem.fields) != 3 {
		t.Error("shape below a map and a list")
	}
}

func TestCheckLife(t *testing.T) {
	const now = 1_700_000_000
	for name, c := range map[string]struct {
		iat, nbf, exp int64
		at            time.Duration
		want          wire.Code
	}{
		"fresh":                    {now, now, now + 5, 0, ""},
		"one second":               {now, now, now + 1, 0, ""},
		"last moment":              {now, now, now + 5, 6*time.Second - 1, ""},
		"too late":                 {now, now, now + 5, 6 * time.Second, wire.CodeExpired},
		"long ago":                 {now, now, now + 5, time.Hour, wire.CodeExpired},
		"first moment":             {now, now, now + 5, -time.Second, ""},
		"too early":                {now, now, now + 5, -time.Second - 1, wire.CodeClockSkew},
		"from the future":          {now, now, now + 5, -time.Hour, wire.CodeClockSkew},
		"not yet":                  {now, now + 2, now + 5, time.Second - 1, wire.CodeClockSkew},
		"nbf reached":              {now, now + 2, now + 5, time.Second, ""},
		"nbf before iat":           {now, now - 3, now + 5, 0, ""},
		"living 6 s":               {now, now, now + 6, 0, wire.CodeBadRequest},
		"living 6 s, expired":      {now, now, now + 6, time.Hour, wire.CodeBadRequest},
		"living 6 s, future":       {now, now, now + 6, -time.Hour, wire.CodeBadRequest},
		"living for ever":          {now, now, math.MaxInt64, 0, wire.CodeBadRequest},
		"living since ever":        {1, 1, math.MaxInt64, 0, wire.CodeBadRequest},
		"long life, late nbf":      {now, now + 60, now + 62, 0, wire.CodeBadRequest},
		"no exp":                   {now, now, 0, 0, wire.CodeBadRequest},
		"no iat":                   {0, now, now + 5, 0, wire.CodeBadRequest},
		"no nbf":                   {now, 0, now + 5, 0, wire.CodeBadRequest},
		"negative":                 {math.MinInt64, math.MinInt64, now, 0, wire.CodeBadRequest},
		"negative iat":             {math.MinInt64, now, now + 5, 0, wire.CodeBadRequest},
		"negative exp":             {now, now, -5, 0, wire.CodeBadRequest},
		"exp is iat":               {now, now, now, 0, wire.CodeBadRequest},
		"exp before iat":           {now, now - 9, now - 5, 0, wire.CodeBadRequest},
		"exp before nbf":           {now, now + 4, now + 4, 0, wire.CodeBadRequest},
		"end of time":              {math.MaxInt64 - 5, math.MaxInt64 - 5, math.MaxInt64, 0, wire.CodeClockSkew},
		"end of time, expired now": {math.MaxInt64 - 5, 1, math.MaxInt64, math.MaxInt64, wire.CodeClockSkew},
	} {
		err := CheckLife(wire.Claims{IssuedAt: c.iat, NotBefore: c.nbf, Expires: c.exp}, time.Unix(now, 0).Add(c.at))
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil || errs.CodeOf(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	err := CheckLife(wire.Claims{IssuedAt: now, NotBefore: now, Expires: now + 5}, time.Unix(now+60, 0))
	if text := fmt.Sprint(err); !strings.Contains(text, "2023-11-14T22:13:25Z") || !strings.Contains(text, "2023-11-14T22:14:20Z") || errs.HintOf(err) == "" {
		t.Errorf("both clocks are not named: %v", err)
	}
}

func TestConfirm(t *testing.T) {
	key, c, err := NewConfirm()
	if err != nil {
		t.Fatal(err)
	}
	pub, err := ConfirmKey(&c)
	if err != nil {
		t.Fatal(err)
	}
	if !pub.Equal(key.Public()) || pub.ID() != "" || pub.Kind() != KindEd25519 {
		t.Error("another key")
	}
	tok := mustSign(t, key, testTyp, 1)
	if _, _, err := Verify([]byte(tok), testTyp, []PublicKey{pub}); err != nil {
		t.Error(err)
	}
	if Hint([]byte(tok)) != "" {
		t.Error("a session key has an ID")
	}
	_, other, err := NewConfirm()
	if err != nil || other == c {
		t.Errorf("the same key twice, %v", err)
	}
	bad := map[string]*wire.Confirmation{"nil": nil}
	for name, change := range map[string]func(*wire.JWK){
		"empty":    func(j *wire.JWK) { *j = wire.JWK{} },
		"EC":       func(j *wire.JWK) { j.KeyType = "EC" },
		"RSA":      func(j *wire.JWK) { j.KeyType = "RSA" },
		"oct":      func(j *wire.JWK) { j.KeyType = "oct" },
		"okp":      func(j *wire.JWK) { j.KeyType = "okp" },
		"X25519":   func(j *wire.JWK) { j.Curve = "X25519" },
		"Ed448":    func(j *wire.JWK) { j.Curve = "Ed448" },
		"P-256":    func(j *wire.JWK) { j.Curve = "P-256" },
		"no x":     func(j *wire.JWK) { j.X = "" },
		"short":    func(j *wire.JWK) { j.X = j.X[:42] },
		"long":     func(j *wire.JWK) { j.X += "A" },
		"padded":   func(j *wire.JWK) { j.X = j.X[:42] + "=" },
		"line end": func(j *wire.JWK) { j.X = j.X[:42] + "\n" },
		"sloppy":   func(j *wire.JWK) { j.X = j.X[:42] + "B" },
		"other":    func(j *wire.JWK) { j.X = "+" + j.X[1:] },
		"zero":     func(j *wire.JWK) { j.X = strings.Repeat("A", 43) },
		"small order": func(j *wire.JWK) {
			j.X = base64URL(unhex(t, "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"))
		},
		"no point": func(j *wire.JWK) { j.X = base64URL(append([]byte{2}, make([]byte, 31)...)) },
	} {
		b := c
		change(&b.JWK)
		bad[name] = &b
	}
	for name, b := range bad {
		if _, err := ConfirmKey(b); errs.CodeOf(err) != wire.CodeBadRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
}
