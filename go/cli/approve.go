package cli

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"etcha/go/errs"
	"etcha/go/token"
	"etcha/go/wire"
)

// approvalBackdate is how far back a counter-signature begins: the clocks of the
// approver's machine and the node's may differ.
const approvalBackdate = 10 * time.Second

// approve is the subcommand.
type approve struct {
	app          *app
	identity     string
	passphraseFD int
	knownNodes   string
	life         time.Duration
	yes          bool
}

func (a *app) approveCommand() *cobra.Command {
	p := &approve{app: a}
	c := &cobra.Command{
		Use:   "approve [flags] REQUEST|DIGEST",
		Short: "Counter-sign somebody else's request for a shell",
		Long: `Counter-sign the request of somebody who wants to open a shell of a source that
requires it (shell.require). REQUEST is the line that their client shows; it begins
with ` + requestPrefix + `. What it asks for is shown, you are asked, and the
counter-signature goes to stdout, one line: give it to them. It holds for this request
alone, for one session, until --for has passed. It holds no secret.

The source must accept your key. A DIGEST alone (SHA256:…) can be signed too, but
nobody can see what it stands for.`,
		Example: `etcha approve etcha-request:eyJub2…           show it, ask, sign
etcha approve -i bob --for 2m etcha-request:eyJub2…`,
		GroupID: groupUse,
		Args:    oneRequest,
		RunE:    func(c *cobra.Command, args []string) error { return p.run(c.Context(), args[0]) },
	}
	f := c.Flags()
	f.StringVarP(&p.identity, "identity", "i", "", "sign with the private key in `FILE` (default build.signingKey)")
	f.IntVar(&p.passphraseFD, "passphrase-fd", -1, "read the key's passphrase from the file descriptor `N`")
	f.DurationVar(&p.life, "for", wire.ApprovalLife, "let it hold for `DURATION`, at most "+shortDuration(wire.ApprovalLife))
	f.BoolVarP(&p.yes, "yes", "y", false, "do not ask; sign at once")
	f.StringVar(&p.knownNodes, "known-nodes", "", "the `FILE` of nodes that were seen (default "+knownNodesDoc+")")
	return c
}

func oneRequest(_ *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	return fmt.Errorf("one request is needed, not %d arguments", len(args))
}

func (p *approve) run(ctx context.Context, text string) error {
	if p.life < time.Second || p.life > wire.ApprovalLife {
		return errs.Usage("--for is from 1s to %s, not %s", shortDuration(wire.ApprovalLife), p.life)
	}
	req, digest, err := parseApprovable(text)
	if err != nil {
		return err
	}
	if !p.yes && !isTerminal(p.app.env.Stdin) {
		return errs.Usage("there is nobody to ask: stdin is not a terminal").WithHint("--yes signs without asking")
	}
	set, err := p.app.load(ctx)
	if err != nil {
		return err
	}
	if err := p.show(req, digest); err != nil {
		return err
	}
	key, err := (&access{app: p.app, identity: p.identity, passphraseFD: p.passphraseFD}).privateKey(set)
	if err != nil {
		return err
	}
	if req != nil && req.Opener == key.Public().Thumbprint() {
		return errs.Usage("the request is by your own key, and another one must sign").
			WithHint("give the request to somebody else, or name another key with -i")
	}
	if err := p.confirm(); err != nil {
		return err
	}
	return p.sign(ctx, key, digest)
}

func (p *approve) sign(ctx context.Context, key token.PrivateKey, digest string) error {
	now := time.Now()
	from := now.Add(-approvalBackdate).Unix()
	tok, err := token.SignApproval(ctx, key.Signer(), wire.ApprovalClaims{
		IssuedAt: from, Expires: min(now.Add(p.life).Unix(), from+int64(wire.ApprovalLife/time.Second)), Digest: digest,
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.app.stdout, tok)
	return err
}

// confirm asks the person. Anything but yes is no.
func (p *approve) confirm() error {
	if p.yes {
		return nil
	}
	fmt.Fprintf(p.app.stderr, "\nSign it, for one session within %s? Type yes: ", shortDuration(p.life))
	line, err := bufio.NewReader(io.LimitReader(p.app.env.Stdin, 1<<10)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read the answer: %w", err)
	}
	if strings.TrimSpace(line) != "yes" {
		return &errs.Error{Text: "not signed"}
	}
	return nil
}

// show tells what is asked for. Everything in a request was chosen by somebody
// else: nothing of it reaches the terminal but in quotes or in a known form.
func (p *approve) show(req *wire.OpenRequest, digest string) error {
	a := p.app
	if req == nil {
		a.say("warning", a.paint(yellow, "warning:"), "nobody can see what a digest stands for; ask for the whole request, which begins with "+requestPrefix)
		fmt.Fprintf(a.stderr, "%-9s %s\n", "digest", digest)
		return nil
	}
	node, err := p.nodeName(req.Node)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "%s\n\n", a.paint(bold, "A request to open a shell:"))
	for _, row := range requestRows(*req, node) {
		fmt.Fprintf(a.stderr, "  %-9s %s\n", row[0], row[1])
	}
	fmt.Fprintf(a.stderr, "  %-9s %s\n", "digest", digest)
	return nil
}

// requestRows are the values of a request, each with its name.
func requestRows(r wire.OpenRequest, node string) [][2]string {
	rows := [][2]string{{"node", node}, {"source", word(r.Source)}, {"by key", r.Opener}}
	if r.Process != "" {
		rows = append(rows, [2]string{"process", word(r.Process)})
	}
	switch {
	case len(r.Args) > 0:
		words := make([]string, len(r.Args))
		for i, arg := range r.Args {
			words[i] = word(arg)
		}
		rows = append(rows, [2]string{"program", strings.Join(words, " ")})
	case r.Command != "":
		rows = append(rows, [2]string{"command", strconv.Quote(r.Command)})
	default:
		rows = append(rows, [2]string{"command", "none: the source's own shell"})
	}
	rows = append(rows, [2]string{"terminal", yesNo(r.PTY)})
	if r.Detach {
		rows = append(rows, [2]string{"detached", "yes: it goes on without its client"})
	}
	for _, name := range slices.Sorted(maps.Keys(r.Env)) {
		rows = append(rows, [2]string{"env", word(name) + "=" + strconv.Quote(r.Env[name])})
	}
	return rows
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// word is a text as it is where nothing in it could be taken for something else,
// else in quotes with escapes.
func word(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_./:=@%+,-", r)
	}
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return s
	}
	return strconv.Quote(s)
}

// nodeName is the node with the names that this user knows it by.
func (p *approve) nodeName(id string) (string, error) {
	known, err := p.app.openKnownNodes(p.knownNodes)
	if err != nil {
		return "", err
	}
	nodes, err := known.All()
	if err != nil {
		return "", err
	}
	var names []string
	for _, n := range nodes {
		if n.ID == id {
			names = append(names, word(n.Target))
		}
	}
	if len(names) == 0 {
		return id + "  (not among your known nodes)", nil
	}
	return id + "  (" + strings.Join(names, ", ") + ")", nil
}

// parseApprovable reads a request or a digest. White space is passed over: a
// line that was copied from a terminal may have been folded.
func parseApprovable(text string) (*wire.OpenRequest, string, error) {
	text = strings.Join(strings.Fields(text), "")
	if isDigest(text) {
		return nil, text, nil
	}
	req, err := parseRequest(text)
	if err != nil {
		return nil, "", err
	}
	return &req, req.Digest(), nil
}

// isDigest reports whether s is "SHA256:" and a hash, the form of digests, node
// IDs and thumbprints.
func isDigest(s string) bool {
	sum, ok := strings.CutPrefix(s, "SHA256:")
	raw, err := base64.RawStdEncoding.Strict().DecodeString(sum)
	return ok && err == nil && len(raw) == 32
}

// shortDuration is d without the zero units at its end.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
