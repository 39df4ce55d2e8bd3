package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strings"

	"github.com/spf13/cobra"

	"etcha/go/errs"
	"etcha/go/token"
)

// keysJSON is what `etcha generate-keys --json` prints.
type keysJSON struct {
	PrivateKey string `json:"privateKey"`
	PublicKey  string `json:"publicKey"`
}

type generateKeys struct {
	app          *app
	kind, id     string
	out          string
	passphrase   bool
	passphraseFD int
	json         bool
}

func (a *app) generateKeysCommand() *cobra.Command {
	g := &generateKeys{app: a}
	c := &cobra.Command{
		Use:   "generate-keys [flags]",
		Short: "Make a pair of keys",
		Long: `Make a pair of keys: the private one signs requests, the public one lets a node
verify them.

The private key belongs to build.signingKey, or in a file that build.signingKeyPath
names, of whoever opens shells. The public key belongs to run.verifyKeys, or the
verifyKeys of a source, of the nodes that are to accept it.`,
		Example: `etcha generate-keys --out deploy           make the files deploy and deploy.pub
etcha generate-keys --out me --passphrase  protect the private key
etcha generate-keys --json                 print both, for a program`,
		GroupID: groupUse,
		RunE:    func(c *cobra.Command, _ []string) error { return g.run(c) },
	}
	f := c.Flags()
	f.StringVarP(&g.out, "out", "o", "", "write the private key to `FILE` (mode 0600) and the public one to FILE.pub; neither is overwritten")
	f.StringVarP(&g.kind, "kind", "k", "ed25519", "the `KIND` of key: "+strings.Join(token.Kinds(), ", "))
	f.StringVar(&g.id, "id", "", "the `NAME` in the key, for logs (default: user@host)")
	f.BoolVarP(&g.passphrase, "passphrase", "p", false, "protect the private key by a passphrase, which is asked for")
	f.IntVar(&g.passphraseFD, "passphrase-fd", -1, "read the passphrase from the file descriptor `N`")
	f.BoolVar(&g.json, "json", false, "print JSON")
	noError(c.RegisterFlagCompletionFunc("kind", cobra.FixedCompletions(token.Kinds(), cobra.ShellCompDirectiveNoFileComp)))
	return c
}

func (g *generateKeys) run(c *cobra.Command) error {
	if !c.Flags().Changed("id") {
		g.id = whoami()
	}
	key, err := token.Generate(g.kind, g.id)
	if err != nil {
		return errs.Usage("%s", err).WithHint("the kinds are %s", strings.Join(token.Kinds(), ", "))
	}
	pair := keysJSON{PrivateKey: key.Secret(), PublicKey: key.Public().String()}
	if g.passphrase || g.passphraseFD >= 0 {
		if pair.PrivateKey, err = g.encrypted(key); err != nil {
			return err
		}
	}
	switch {
	case g.out != "":
		return g.write(pair, key.Public())
	case g.json:
		return g.app.printJSON(pair)
	default:
		return g.print(pair)
	}
}

func (g *generateKeys) encrypted(key token.PrivateKey) (string, error) {
	pass, err := g.app.newPassphrase(g.passphraseFD)
	if err != nil {
		return "", err
	}
	text, err := key.Encrypted(pass)
	clear(pass)
	return text, err
}

// print writes the keys to stdout, one a line, private first, and what they are
// for to stderr, so that a pipe gets the keys alone.
func (g *generateKeys) print(pair keysJSON) error {
	a := g.app
	fmt.Fprintln(a.stderr, a.paint(bold, "private key")+": keep it secret; it signs, as build.signingKey")
	if _, err := fmt.Fprintln(a.stdout, pair.PrivateKey); err != nil {
		return err
	}
	fmt.Fprintln(a.stderr, a.paint(bold, "public key")+": give it to nodes, in run.verifyKeys")
	_, err := fmt.Fprintln(a.stdout, pair.PublicKey)
	return err
}

func (g *generateKeys) write(pair keysJSON, public token.PublicKey) error {
	a := g.app
	pub := g.out + ".pub"
	if _, err := os.Lstat(pub); err == nil {
		return existing(pub)
	}
	if err := token.WritePrivate(g.out, pair.PrivateKey, false); err != nil {
		return existingOr(g.out, err)
	}
	if err := token.WritePublic(pub, pair.PublicKey, false); err != nil {
		// Half a pair is of no use; this file is ours, made a moment ago.
		return errors.Join(existingOr(pub, err), os.Remove(g.out))
	}
	if g.json {
		return a.printJSON(map[string]string{"privateKeyPath": g.out, "publicKeyPath": pub, "publicKey": pair.PublicKey})
	}
	fmt.Fprintf(a.stdout, "%s  the private key: keep it secret; build.signingKeyPath names it\n", g.out)
	fmt.Fprintf(a.stdout, "%s  the public key, for run.verifyKeys of the nodes that accept it:\n\n", pub)
	_, err := fmt.Fprintf(a.stdout, "%s\n\nfingerprint %s\n", pair.PublicKey, public.Thumbprint())
	return err
}

func existing(path string) error {
	return errs.Usage("%s exists already", path).WithHint("keys are never overwritten; choose another --out")
}

func existingOr(path string, err error) error {
	if errors.Is(err, fs.ErrExist) {
		return existing(path)
	}
	return err
}

// whoami names a new key after the person and the machine, or not at all.
func whoami() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	host, err := os.Hostname()
	if err != nil {
		return ""
	}
	name := u.Username
	if i := strings.LastIndexByte(name, '\\'); i >= 0 { // DOMAIN\user of Windows
		name = name[i+1:]
	}
	return strings.Map(keyNameRune, name+"@"+host)
}

// keyNameRune drops what would end the name in a key.
func keyNameRune(r rune) rune {
	if r <= ' ' || r == ':' || r == '"' || r == '\'' || r == ',' || r > '~' {
		return -1
	}
	return r
}
