package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"etcha/go/errs"
	"etcha/go/token"
	"etcha/go/wire"
)

const someID = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

func someRequest() wire.OpenRequest {
	return wire.OpenRequest{Node: someID, Source: "debug", Opener: someID, Key: "x", Args: []string{"id", ""}, Env: map[string]string{"A": "<&>\u00e9"}}
}

// asking is an approvals that reads from a file, and what it says.
func asking(t *testing.T, lines ...string) (*approvals, *strings.Builder) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "given")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return askingFrom(t, path)
}

func askingFrom(t *testing.T, path string) (*approvals, *strings.Builder) {
	t.Helper()
	var said strings.Builder
	a := &app{stderr: &console{w: &said}}
	p := a.newApprovals(path)
	t.Cleanup(p.close)
	return p, &said
}

// signed is a counter-signature of a new key.
func signed(t *testing.T, digest string) string {
	t.Helper()
	key, err := token.Generate(token.KindEd25519, "bob")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().Unix()
	tok, err := token.SignApproval(context.Background(), key.Signer(), wire.ApprovalClaims{IssuedAt: now, Expires: now + 60, Digest: digest})
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func TestAskApprovals(t *testing.T) {
	req := someRequest()
	digest := req.Digest()
	first, second, third := signed(t, digest), signed(t, digest), signed(t, digest)
	text, err := requestText(req)
	if err != nil {
		t.Fatal(err)
	}
	p, said := asking(t, "", "garbage\x1b[2J", text, signed(t, someID), "  "+first+" \r", first, second, third)
	got, err := p.ask(context.Background(), req, 2, 0, "")
	if err != nil || !slices.Equal(got, []string{first, second}) {
		t.Fatalf("%q, %v", got, err)
	}
	for _, want := range []string{
		text, digest, "debug requires counter-signatures by others: 2, of which 0 are there",
		`"garbage\x1b[2J" is no counter-signature`, "that is a request", "is for another request: " + someID, "was given before",
	} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("nothing says %q:\n%s", want, said)
		}
	}
	if strings.Contains(said.String(), "\x1b") {
		t.Errorf("a control character was printed: %q", said)
	}
	// The node refused one of them: the next is read on, the others go again.
	if got, err = p.ask(context.Background(), req, 2, 1, ""); err != nil || !slices.Equal(got, []string{first, second, third}) {
		t.Errorf("%q, %v", got, err)
	}
	_, err = p.ask(context.Background(), req, 2, 1, "")
	if errs.ExitOf(err) != errs.ExitTransport || !strings.Contains(err.Error(), "counter-signatures are missing: 1 of 2 are there") {
		t.Errorf("at the end of the file: %v", err)
	}
}

// TestAskAgainForAnother: those for one request are not sent with another.
func TestAskAgainForAnother(t *testing.T) {
	req, other := someRequest(), someRequest()
	other.Key = "y"
	first, second := signed(t, req.Digest()), signed(t, other.Digest())
	p, _ := asking(t, first, second)
	if _, err := p.ask(context.Background(), req, 1, 0, ""); err != nil {
		t.Fatal(err)
	}
	if got, err := p.ask(context.Background(), other, 1, 0, ""); err != nil || !slices.Equal(got, []string{second}) {
		t.Errorf("%q, %v", got, err)
	}
}

// TestAskKeepsTheLimit: no more are handed in than a node takes.
func TestAskKeepsTheLimit(t *testing.T) {
	req := someRequest()
	var lines []string
	for range wire.MaxApprovals + 2 {
		lines = append(lines, signed(t, req.Digest()))
	}
	p, _ := asking(t, lines...)
	for range wire.MaxApprovals + 1 {
		if _, err := p.ask(context.Background(), req, 1, 0, ""); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := p.ask(context.Background(), req, 1, 0, ""); err != nil || !slices.Equal(got, lines[2:]) {
		t.Errorf("%d, %v", len(got), err)
	}
}

func TestAskWithoutAFile(t *testing.T) {
	p, _ := askingFrom(t, filepath.Join(t.TempDir(), "none"))
	if _, err := p.ask(context.Background(), someRequest(), 1, 0, ""); errs.ExitOf(err) != errs.ExitUsage {
		t.Errorf("%v", err)
	}
}

func TestLongLine(t *testing.T) {
	p, said := asking(t, strings.Repeat("x", 1<<20), "y")
	if _, err := p.ask(context.Background(), someRequest(), 1, 0, ""); err == nil {
		t.Error("a long line is a counter-signature")
	}
	if !strings.Contains(said.String(), `"`+strings.Repeat("x", 24)+`"… is no`) || !strings.Contains(said.String(), `"y" is no`) {
		t.Errorf("%s", said)
	}
}

func TestRequestText(t *testing.T) {
	req := someRequest()
	text, err := requestText(req)
	if err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(text, " \n\"'$`\\!") {
		t.Errorf("%s needs quotes in a shell", text)
	}
	back, err := parseRequest(text)
	if err != nil || back.Digest() != req.Digest() {
		t.Errorf("%+v, %v", back, err)
	}
	for _, bad := range []string{"", "x", requestPrefix, text + "=", text + "!", text[:len(text)-3], strings.ToUpper(text), requestPrefix + "bnVsbA", requestPrefix + strings.Repeat("A", maxRequestText)} {
		if _, err := parseRequest(bad); errs.ExitOf(err) != errs.ExitUsage {
			t.Errorf("%.40q: %v", bad, err)
		}
	}
}

// FuzzParseRequest: what is read has the digest of what is shown, and no row of
// it holds anything that a terminal acts on.
func FuzzParseRequest(f *testing.F) {
	text, err := requestText(someRequest())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(requestPrefix + "e30")
	f.Add(someID)
	f.Fuzz(func(t *testing.T, text string) {
		req, digest, err := parseApprovable(text)
		if err != nil {
			var e *errs.Error
			if !errors.As(err, &e) || e.Exit != errs.ExitUsage {
				t.Errorf("%v", err)
			}
			return
		}
		if req == nil {
			return
		}
		again, err := requestText(*req)
		if err != nil {
			t.Fatal(err)
		}
		back, err := parseRequest(again)
		if err != nil || back.Digest() != digest {
			t.Errorf("%s became %s, %v", digest, back.Digest(), err)
		}
		for _, row := range requestRows(*req, req.Node) {
			for _, r := range row[1] {
				if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r >= 0x202a && r <= 0x202e {
					t.Errorf("%s: %q", row[0], row[1])
				}
			}
		}
	})
}
