package token

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"etcha/go/errs"
	"etcha/go/wire"
)

func mustIdentity(t testing.TB) *Identity {
	t.Helper()
	id, err := LoadIdentity(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestLoadIdentity(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "state")
	first, err := LoadIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !first.Fresh() || !strings.HasPrefix(first.ID(), "SHA256:") || len(first.ID()) != 50 || first.ID() != first.Key().Public().Thumbprint() {
		t.Errorf("fresh %v, ID %q", first.Fresh(), first.ID())
	}
	if pub, ok := first.Signer().Public().(*ecdsa.PublicKey); !ok || pub.Curve != elliptic.P256() {
		t.Error("not a P-256 signer")
	}
	second, err := LoadIdentity(dir)
	if err != nil {
		t.Fatal(err)
	}
	if second.Fresh() || second.ID() != first.ID() {
		t.Error("the second start has another identity")
	}
	wantFiles(t, dir, identityFile)
	info, err := os.Stat(filepath.Join(dir, identityFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if info, err = os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder's mode %v, %v", info.Mode(), err)
	}
}

func TestLoadIdentityAtOnce(t *testing.T) {
	dir := t.TempDir()
	ids := make(chan string, 8)
	var wg sync.WaitGroup
	for range cap(ids) {
		wg.Go(func() {
			id, err := LoadIdentity(dir)
			if err != nil {
				t.Error(err)
				return
			}
			ids <- id.ID()
		})
	}
	wg.Wait()
	close(ids)
	first := <-ids
	for id := range ids {
		if id != first {
			t.Fatal("two starts at once have two identities")
		}
	}
	wantFiles(t, dir, identityFile)
}

func TestLoadIdentityErrors(t *testing.T) {
	enc := cheap(t, mustGenerate(t, KindP256, ""), "x")
	for name, c := range map[string]struct{ text, want string }{
		"another kind": {mustGenerate(t, KindEd25519, "").Secret(), "ecp256"},
		"no key":       {"hello", "no form of a key"},
		"empty":        {"", "empty"},
		"public":       {mustGenerate(t, KindP256, "").Public().String(), "public key"},
		"encrypted":    {enc, "passphrase"},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, identityFile)
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := LoadIdentity(dir)
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != c.text {
			t.Errorf("%s: the file was touched", name)
		}
	}
}

func TestLoadIdentityMode(t *testing.T) {
	dir := t.TempDir()
	if _, err := LoadIdentity(dir); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, identityFile)
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadIdentity(dir); errs.HintOf(err) != "chmod 600 "+path {
		t.Errorf("%v, hint %q", err, errs.HintOf(err))
	}
}

func TestLoadIdentityFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := LoadIdentity(filepath.Join(file, "state"))
	if err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("below a file: %v", err)
	}
	if os.Geteuid() == 0 {
		return // the rest does not hold root back
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadIdentity(dir); !errors.Is(err, fs.ErrPermission) || !strings.Contains(errs.HintOf(err), "run.stateDir") {
		t.Errorf("a folder that cannot be written: %v", err)
	}
}

func TestProof(t *testing.T) {
	node, other := mustIdentity(t), mustIdentity(t)
	request := []byte("the whole request token")
	tok, err := node.Prove(wire.ProofClaims{IssuedAt: 1, Session: "s1", Request: RequestHash(request)})
	if err != nil {
		t.Fatal(err)
	}
	claims, err := VerifyProof([]byte(tok), node.ID(), request)
	if err != nil {
		t.Fatal(err)
	}
	if claims.Session != "s1" || claims.Node != node.ID() || claims.IssuedAt != 1 {
		t.Errorf("%+v", claims)
	}
	byOther, err := other.Prove(wire.ProofClaims{Session: "s1", Request: RequestHash(request)})
	if err != nil {
		t.Fatal(err)
	}
	// A stranger who claims to be the node, with the node's key and with its own.
	lie := wire.ProofClaims{Node: node.ID(), Key: node.encoded(), Session: "s1", Request: RequestHash(request)}
	stolenKey := mustSign(t, other.Key(), wire.TypeProof, lie)
	lie.Key = other.encoded()
	ownKey := mustSign(t, other.Key(), wire.TypeProof, lie)
	wrongTyp := mustSign(t, node.Key(), wire.TypeNode, claims)
	named := wire.ProofClaims{Node: other.ID(), Key: node.encoded(), Request: RequestHash(request)}
	otherName := mustSign(t, node.Key(), wire.TypeProof, named)
	lie.Key = "AAAA"
	noKey := mustSign(t, other.Key(), wire.TypeProof, lie)
	ed := mustGenerate(t, KindEd25519, "")
	edKey := wire.ProofClaims{Node: ed.Public().Thumbprint(), Key: base64URL(ed.Public().DER()), Request: RequestHash(request)}
	edTok := mustSign(t, ed, wire.TypeProof, edKey)
	for name, c := range map[string]struct {
		tok, node string
		request   []byte
	}{
		"another node":               {byOther, node.ID(), request},
		"the pin is another":         {tok, other.ID(), request},
		"no pin":                     {tok, "", request},
		"the node's key, not by it":  {stolenKey, node.ID(), request},
		"its own key for the node's": {ownKey, node.ID(), request},
		"names another node":         {otherName, node.ID(), request},
		"another request":            {tok, node.ID(), []byte("another request token")},
		"another typ":                {wrongTyp, node.ID(), request},
		"no key":                     {noKey, node.ID(), request},
		"an ed25519 node":            {edTok, ed.Public().Thumbprint(), request},
		"not a token":                {"hello", node.ID(), request},
		"changed":                    {flip(tok, len(tok)/2), node.ID(), request},
	} {
		if _, err := VerifyProof([]byte(c.tok), c.node, c.request); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNode(t *testing.T) {
	node, other := mustIdentity(t), mustIdentity(t)
	tok, err := node.Node(wire.NodeClaims{IssuedAt: 7, Nonce: "n1", Version: "v"})
	if err != nil {
		t.Fatal(err)
	}
	claims, key, err := VerifyNode([]byte(tok), "n1")
	if err != nil {
		t.Fatal(err)
	}
	if claims.Node != node.ID() || claims.IssuedAt != 7 || claims.Protocol != wire.Protocol || claims.Version != "v" || !key.Equal(node.Key().Public()) {
		t.Errorf("%+v", claims)
	}
	lie := claims
	lie.Key = other.encoded()
	withoutNonce, err := node.Node(wire.NodeClaims{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string][2]string{
		"another nonce":              {tok, "n2"},
		"no nonce":                   {withoutNonce, ""},
		"its own key for the node's": {mustSign(t, other.Key(), wire.TypeNode, lie), "n1"},
		"the node's key, not by it":  {mustSign(t, other.Key(), wire.TypeNode, claims), "n1"},
		"another typ":                {mustSign(t, node.Key(), wire.TypeProof, claims), "n1"},
		"changed":                    {flip(tok, len(tok)-20), "n1"},
		"claims are a list":          {mustSign(t, node.Key(), wire.TypeNode, []int{1}), "n1"},
		"claims twice": {mustSign(t, node.Key(), wire.TypeNode, json.RawMessage(
			`{"node":"x",`+string(mustJSON(t, claims))[1:])), "n1"},
	} {
		if _, _, err := VerifyNode([]byte(c[0]), c[1]); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// flip changes one character of a token for another of its alphabet.
func flip(tok string, at int) string {
	c := "A"
	if tok[at] == 'A' {
		c = "B"
	}
	return tok[:at] + c + tok[at+1:]
}
