package token

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"etcha/go/wire"
)

func FuzzParsePublic(f *testing.F) {
	f.Add(publishedPublic)
	f.Add(publishedPrivate)
	f.Add("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMO3kxLhB9Pk34LV98wfiWVZ2A9HrJGOqp95+2QgO8Fj me@host")
	f.Add("restrict,command=\"x\" ssh-ed25519 AAAA")
	for _, kind := range []string{KindP256, KindRSA2048} {
		key := mustGenerate(f, kind, "x").Public()
		f.Add(key.String())
		f.Add(pemText("PUBLIC KEY", key.DER()))
	}
	f.Fuzz(func(t *testing.T, text string) {
		key, err := ParsePublic(text)
		if err != nil {
			if !key.IsZero() {
				t.Fatal("a key beside the error")
			}
			return
		}
		again, err := ParsePublic(key.String())
		if err != nil || !again.Equal(key) || again.ID() != key.ID() {
			t.Fatalf("%q does not read back: %v", key.String(), err)
		}
		if _, err := ParsePrivate(text, nil); err == nil {
			t.Fatal("both public and private")
		}
	})
}

func FuzzParsePrivate(f *testing.F) {
	f.Add(publishedPrivate)
	f.Add(publishedPublic)
	f.Add("ed25519private-encrypted:MIG=")
	key := mustGenerate(f, KindP256, "x")
	der, err := key.pkcs8()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(key.Secret())
	f.Add(pemText("PRIVATE KEY", der))
	f.Add(pemText("OPENSSH PRIVATE KEY", []byte("openssh-key-v1\x00none")))
	f.Add("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n")
	stop := errors.New("stop") // before the work that a passphrase takes
	f.Fuzz(func(t *testing.T, text string) {
		key, err := ParsePrivate(text, func() ([]byte, error) { return nil, stop })
		if err != nil {
			if !key.IsZero() {
				t.Fatal("a key beside the error")
			}
			return
		}
		again, err := ParsePrivate(key.Secret(), nil)
		if err != nil || !again.Public().Equal(key.Public()) {
			t.Fatalf("does not read back: %v", err)
		}
		if _, err := ParsePublic(text); err == nil {
			t.Fatal("both public and private")
		}
	})
}

func FuzzEnvelope(f *testing.F) {
	text := cheap(f, mustGenerate(f, KindEd25519, ""), "x")
	der, err := base64.StdEncoding.DecodeString(strings.Split(text, ":")[1])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Fuzz(func(t *testing.T, der []byte) {
		e, err := openEnvelope(der)
		if err == nil && (len(e.iv) != 16 || len(e.data) == 0 || len(e.data)%16 != 0 || e.derive == nil) {
			t.Fatalf("%+v", e)
		}
	})
}

func FuzzVerify(f *testing.F) {
	key, err := ParsePrivate(publishedPrivate, nil) // the same in every fuzzing process
	if err != nil {
		f.Fatal(err)
	}
	keys := []PublicKey{key.Public()}
	f.Add([]byte(mustSign(f, key, testTyp, wire.Claims{ID: "x"})))
	f.Add([]byte(rfcES256))
	f.Add([]byte("a.b.c"))
	f.Add([]byte(craft(`{"alg":"none"}`, "{}", func([]byte) []byte { return nil })))
	f.Fuzz(func(t *testing.T, tok []byte) {
		before := bytes.Clone(tok)
		payload, by, err := Verify(tok, testTyp, keys)
		if !bytes.Equal(tok, before) {
			t.Fatal("the token was changed")
		}
		if err != nil {
			if !errors.Is(err, ErrInvalid) || payload != nil || !by.IsZero() {
				t.Fatalf("%q by %q: %v", payload, by.ID(), err)
			}
			return
		}
		// It can only be one that was signed here: nothing about it can vary.
		if parts := strings.Split(string(tok), "."); len(parts) != 3 || base64URL(payload) != parts[1] {
			t.Fatalf("accepted %q", tok)
		}
	})
}

func FuzzHeader(f *testing.F) {
	f.Add([]byte(`{"alg":"EdDSA","kid":"x","typ":"y"}`))
	f.Add([]byte(` {"alg":"\u0045"} `))
	f.Add([]byte(`{"alg":"none","crit":["b64"],"b64":false}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, err := parseHeader(raw)
		if err != nil {
			return
		}
		// Whatever is accepted a plain reader understands in the same way.
		var all map[string]string
		if err := json.Unmarshal(raw, &all); err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		for name, value := range map[string]string{"alg": h.alg, "typ": h.typ, "kid": h.kid} {
			if all[name] != value {
				t.Fatalf("%s is %q and %q", name, value, all[name])
			}
			delete(all, name)
		}
		if len(all) != 0 {
			t.Fatalf("%q: %v", raw, all)
		}
	})
}

func FuzzDecodeClaims(f *testing.F) {
	f.Add([]byte(`{"aud":["a"],"iat":1,"nbf":1,"exp":5,"etchaShell":{"op":"input","data":"AAAA"}}`))
	f.Add([]byte(`{"EXP":5}`))
	f.Add([]byte(`{"sub":"\ud800"}`))
	f.Add([]byte(`{"a":1,"\u0061":2}`))
	f.Add([]byte(`{"etchaShell":{"data":"` + strings.Repeat("AAAA", longData/3) + `","seq":5}}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		got, err := DecodeClaims(payload)
		if err != nil {
			return
		}
		if !utf8.Valid(payload) {
			t.Fatal("not UTF-8")
		}
		// Without anything that readers disagree about all agree.
		var want wire.Claims
		if err := json.Unmarshal(payload, &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v and %+v", got, want)
		}
		checkNames(t, json.NewDecoder(bytes.NewReader(payload)))
	})
}

// checkNames reads one value and finds members that are given twice.
func checkNames(t *testing.T, d *json.Decoder) {
	token, err := d.Token()
	if err != nil {
		t.Fatal(err)
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return
	}
	seen := map[string]bool{}
	for d.More() {
		if delim == '{' {
			name, err := d.Token()
			if err != nil {
				t.Fatal(err)
			}
			text, ok := name.(string)
			if !ok || seen[text] {
				t.Fatalf("member %v twice", name)
			}
			seen[text] = true
		}
		checkNames(t, d)
	}
	if _, err := d.Token(); err != nil {
		t.Fatal(err)
	}
}

func FuzzProof(f *testing.F) {
	// The same in every fuzzing process.
	key, err := ParsePrivate("ecp256private:MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAWhRANCAARRWQt6UVFA0teEyFYIZo/f74yC/R9b5SQhVUoNw9Az7eDBfaiQSnJ9iuG/Nr+KeSYNAS8A1NgIiNHQu0T9oW2k", nil)
	if err != nil {
		f.Fatal(err)
	}
	node := &Identity{key: key}
	request := []byte("request")
	tok, err := node.Prove(wire.ProofClaims{Session: "s", Request: RequestHash(request)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(tok)
	f.Fuzz(func(t *testing.T, text string) {
		claims, err := VerifyProof([]byte(text), node.ID(), request)
		if err != nil && !errors.Is(err, ErrInvalid) {
			t.Fatal(err)
		}
		if err == nil && claims.Session != "s" {
			t.Fatalf("accepted %q", text)
		}
	})
}

func FuzzJournal(f *testing.F) {
	whole := appendHeader(nil, 5, 4)
	whole = appendRecord(whole, entry{id: entryID{1}, exp: 9}, 5, 1)
	whole = appendRecord(whole, entry{id: entryID{2}, exp: 8}, 6, 2)
	f.Add(append(whole, make([]byte, 2*slotSize)...))
	f.Add(whole)
	f.Add(appendHeader(nil, 0, 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		floor, entries, err := decodeJournal(data)
		if err != nil {
			if !errors.Is(err, errDamaged) || entries != nil || floor != 0 {
				t.Fatalf("%d entries, %v", len(entries), err)
			}
			return
		}
		// What was read, written again, is what was read but for a torn tail.
		slots := len(data)/slotSize - 1
		again := appendHeader(nil, decodeFloor(data), slots)
		for i, e := range entries {
			if e.exp <= 0 || e.exp > maxTime {
				t.Fatalf("exp %d", e.exp)
			}
			at := (i + 1) * slotSize
			again = appendRecord(again, e, decodeTime(data[at+22:]), i+1)
		}
		if !bytes.Equal(again, data[:len(again)]) || floor < 0 || floor > maxTime {
			t.Fatal("read otherwise than written")
		}
	})
}

func decodeFloor(data []byte) int64 {
	floor, _, _ := decodeHeader(data)
	return floor
}
