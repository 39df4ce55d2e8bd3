package pattern

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"etcha/go/jsonnet"
	"etcha/go/token"
)

func TestTokensOfPatterns(t *testing.T) {
	signer, other := key(t, token.KindEd25519), key(t, token.KindEd25519)
	run := func(at time.Time, public token.PublicKey) (string, error) {
		o := jsonnet.Options{SignJWT: SignJWT, ParseJWT: ParseJWT(func() time.Time { return at })}
		config, err := json.Marshal(map[string]string{"private": signer.Secret(), "public": public.String()})
		if err != nil {
			t.Fatal(err)
		}
		o.Config = config
		r, err := jsonnet.EvaluateText(context.Background(), "m.jsonnet",
			`local c = std.native('getConfig')(); std.native('jwtParse')(std.native('jwtNew')({sub: 'x', exp: 1000, own: [1]}, c.private, false), [c.public], null)`, o)
		return strings.Join(strings.Fields(string(r.JSON)), ""), err
	}
	if got, err := run(time.Unix(1029, 0), signer.Public()); err != nil || got != `{"exp":1000,"own":[1],"sub":"x"}` {
		t.Errorf("claims %s, %v", got, err)
	}
	for name, c := range map[string]struct {
		at  time.Time
		key token.PublicKey
	}{"expired": {time.Unix(1030, 0), signer.Public()}, "another key": {time.Unix(1000, 0), other.Public()}} {
		if got, err := run(c.at, c.key); err == nil || strings.Contains(err.Error(), strings.Split(signer.Secret(), ":")[1]) {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	if _, err := SignJWT(context.Background(), json.RawMessage("{}"), "canary"); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("no key: %v", err)
	}
}
