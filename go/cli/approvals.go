package cli

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"etcha/go/errs"
	"etcha/go/token"
	"etcha/go/wire"
)

// requestPrefix begins the text of a request: the rest is the unpadded base64url
// of [wire.OpenRequest] as JSON.
const requestPrefix = "etcha-request:"

// Bounds of what people hand over, bytes.
const (
	maxRequestText  = 2 * wire.MaxBody
	maxApprovalLine = 16 << 10
)

// requestText is a request as it is given to those who counter-sign it.
func requestText(r wire.OpenRequest) (string, error) {
	b, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("encode request: %w", err)
	}
	return requestPrefix + base64.RawURLEncoding.EncodeToString(b), nil
}

// parseRequest reads such a text. It is strict: what this program would not
// show must not be signed. The digest that is signed is always that of the
// values read here.
func parseRequest(text string) (wire.OpenRequest, error) {
	bad := func(why string) (wire.OpenRequest, error) {
		return wire.OpenRequest{}, errs.Usage("this is no request: %s", why).
			WithHint("a request is one line that begins with %s; was it copied whole?", requestPrefix)
	}
	body, ok := strings.CutPrefix(text, requestPrefix)
	if !ok || len(text) > maxRequestText {
		return bad("it does not begin with " + requestPrefix + ", or is too long")
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil {
		return bad("what follows " + requestPrefix + " is not base64url")
	}
	var r wire.OpenRequest
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return bad("it has something that this version does not know, or is damaged")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return bad("something follows it")
	}
	switch {
	case !isDigest(r.Node) || !isDigest(r.Opener) || r.Source == "":
		return bad("it does not name a node, a source and a key")
	case r.Key == "":
		return bad("it has no session key, and no node accepts a counter-signature without")
	}
	return r, nil
}

// approvals asks for the counter-signatures of one open, which may be refused
// and asked for again. It has one user at a time.
type approvals struct {
	app  *app
	file string // --approvals; empty: the terminal

	in     *os.File
	out    io.Writer // where the question is asked; nil: nowhere
	closer []io.Closer
	given  []string // for the request with this digest
	digest string
}

// newApprovals asks on the terminal, or reads from file: a file with one
// counter-signature a line, or a FIFO. It must be closed.
func (a *app) newApprovals(file string) *approvals { return &approvals{app: a, file: file} }

// ask tells the person what is needed and gives the counter-signatures for req:
// those of before and as many new ones as lack, at most wire.MaxApprovals. It
// ends with the context's cause when the context does.
func (p *approvals) ask(ctx context.Context, req wire.OpenRequest, need, have int, why string) ([]string, error) {
	if err := p.open(); err != nil {
		return nil, err
	}
	if digest := req.Digest(); digest != p.digest {
		p.digest, p.given = digest, nil
		if err := p.explain(req, need, have); err != nil {
			return nil, err
		}
	} else {
		if why != "" {
			p.app.etcha("%s", why)
		}
		p.app.etcha("of the counter-signatures that were given the node counts %d, and %d are needed; the request is the same as above", have, need)
	}
	for lack := need - have; lack > 0; {
		line, err := p.line(ctx)
		if errors.Is(err, io.EOF) {
			return nil, p.tooFew(need, need-lack)
		}
		if err != nil {
			return nil, err
		}
		if line == "" {
			continue
		}
		if why := p.refuse(line); why != "" {
			p.app.say("etcha", p.app.paint(yellow, "etcha:"), why)
			continue
		}
		p.given = append(p.given, line)
		lack--
	}
	p.given = p.given[max(0, len(p.given)-wire.MaxApprovals):]
	return slices.Clone(p.given), nil
}

func (p *approvals) explain(req wire.OpenRequest, need, have int) error {
	text, err := requestText(req)
	if err != nil {
		return err
	}
	a := p.app
	fmt.Fprintf(a.stderr, "%s source %s requires counter-signatures by others: %d, of which %d are there.\n", a.paint(dim, "etcha:"), word(req.Source), need, have)
	fmt.Fprintf(a.stderr, "Somebody whose key the source accepts runs etcha approve with this request:\n\n%s\n\ndigest %s\n", text, p.digest)
	if p.file != "" {
		fmt.Fprintf(a.stderr, "Waiting for what it prints in %s.\n", p.file)
	} else {
		fmt.Fprintln(a.stderr, "Paste here what it prints, a line each. Ctrl-C gives up.")
	}
	return nil
}

// refuse is what is wrong with a line, "" when it may be a counter-signature for
// the request. The node decides; this spares a round.
func (p *approvals) refuse(line string) string {
	c, err := token.ReadApproval([]byte(line))
	switch {
	case strings.HasPrefix(line, requestPrefix):
		return "that is a request; what etcha approve prints is needed"
	case err != nil:
		return fmt.Sprintf("%s is no counter-signature; paste one as etcha approve printed it, on one line", shown(line))
	case c.Digest != p.digest:
		return fmt.Sprintf("%s is for another request: %s", shown(line), word(c.Digest))
	case slices.Contains(p.given, line):
		return fmt.Sprintf("%s was given before; another person must sign", shown(line))
	}
	return ""
}

// shown is the beginning of a line that somebody pasted.
func shown(line string) string {
	const enough = 24
	if r := []rune(line); len(r) > enough {
		return fmt.Sprintf("%q…", string(r[:enough]))
	}
	return fmt.Sprintf("%q", line)
}

func (p *approvals) tooFew(need, have int) error {
	e := &errs.Error{Text: fmt.Sprintf("counter-signatures are missing: %d of %d are there", have, need), Exit: errs.ExitTransport}
	if p.file != "" {
		e.Text = fmt.Sprintf("%s: %s", p.file, e.Text)
		return e.WithHint("a FIFO (mkfifo) is waited for; a file is read to its end")
	}
	return e
}

// open opens what is read from, once.
func (p *approvals) open() error {
	if p.in != nil {
		return nil
	}
	if p.file == "" {
		in, out, err := openConsole()
		if err != nil {
			return (&errs.Error{Text: "the source requires counter-signatures, and there is no terminal to ask for them on", Exit: errs.ExitTransport}).
				WithHint("--approvals FILE reads them from a file or a FIFO")
		}
		p.in, p.out, p.closer = in, out, []io.Closer{in, out}
		return nil
	}
	mode := os.O_RDONLY
	if info, err := os.Stat(p.file); err == nil && info.Mode()&fs.ModeNamedPipe != 0 {
		mode = os.O_RDWR // does not wait for a writer, and does not end with one
	}
	f, err := os.OpenFile(p.file, mode, 0)
	if err != nil {
		return errs.Usage("open counter-signatures: %s", err)
	}
	p.in, p.closer = f, []io.Closer{f}
	return nil
}

// close ends a read that still waits, where the system lets it.
func (p *approvals) close() {
	for _, c := range p.closer {
		_ = c.Close() // nothing was written
	}
	p.in, p.closer = nil, nil
}

// line is the next line, without white space around it; io.EOF at the end. When
// the context ends first the source is closed, and the goroutine that reads from
// it ends; only one that the system does not wake stays until the process ends.
func (p *approvals) line(ctx context.Context) (string, error) {
	if p.out != nil {
		fmt.Fprint(p.out, "> ")
	}
	type result struct {
		line string
		err  error
	}
	read := make(chan result, 1)
	in := p.in
	go func() {
		line, err := readShort(in, maxApprovalLine)
		read <- result{strings.TrimSpace(line), err}
	}()
	select {
	case r := <-read:
		if r.err != nil && !errors.Is(r.err, io.EOF) {
			return "", fmt.Errorf("read counter-signatures: %w", r.err)
		}
		return r.line, r.err
	case <-ctx.Done():
		p.close()
		return "", context.Cause(ctx)
	}
}

// readShort reads one line and not a byte more: what follows on the terminal is
// the session's. io.EOF means that nothing was left; of a longer line the first
// max bytes are given.
func readShort(in io.Reader, most int) (string, error) {
	var line []byte
	for b := make([]byte, 1); ; {
		n, err := in.Read(b)
		switch {
		case n == 1 && b[0] == '\n':
			return string(line), nil
		case n == 1 && len(line) < most:
			line = append(line, b[0])
		case n == 0 && errors.Is(err, io.EOF) && len(line) > 0:
			return string(line), nil
		case n == 0 && err != nil:
			return "", err
		}
	}
}
