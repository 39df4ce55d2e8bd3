package cli

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"etcha/go/client"
	"etcha/go/config"
	"etcha/go/errs"
	"etcha/go/token"
)

// maxAsked is how many nodes are asked at a time.
const maxAsked = 16

// access is how nodes are reached and requests to them signed: flags that
// several commands share, and what is made of them.
type access struct {
	app *app

	port         int
	insecure     bool
	nodeID       string
	knownNodes   string
	identity     string
	passphraseFD int
	unattended   bool // nobody may be asked for anything
}

func (x *access) flags(f *pflag.FlagSet) {
	f.IntVarP(&x.port, "port", "p", 0, "the node's `PORT` (default 4000)")
	f.StringVarP(&x.identity, "identity", "i", "", "sign with the private key in `FILE` (default build.signingKey)")
	f.IntVar(&x.passphraseFD, "passphrase-fd", -1, "read the key's passphrase from the file descriptor `N`")
	f.StringVar(&x.nodeID, "node-id", "", "the node's `ID`, where it is known beforehand")
	f.StringVar(&x.knownNodes, "known-nodes", "", "the `FILE` of nodes that were seen (default "+knownNodesDoc+")")
	f.BoolVar(&x.insecure, "insecure", false, "use plain HTTP: for a node on loopback or behind a proxy")
}

// checkFlags checks what needs nothing else.
func (x *access) checkFlags() error {
	if x.port < 0 || x.port > 65535 {
		return errs.Usage("--port is a number from 1 to 65535, not %d", x.port)
	}
	return nil
}

// place finds the node that target stands for; the flags count more than the
// configuration.
func (x *access) place(cfg *config.Config, target string) (place, error) {
	p, err := findPlace(cfg, target)
	if err != nil {
		return place{}, err
	}
	if x.port != 0 {
		p.port = x.port
	}
	if x.insecure {
		p.scheme = "http"
	}
	if x.nodeID != "" {
		p.nodeID = x.nodeID
	}
	return p, nil
}

// node is one that is asked.
type node struct {
	where  place
	client *client.Client
	id     string // its node ID, once it was asked
	err    error  // why it cannot be asked, or what asking it ended with
}

// nodes are those to ask: target, else cli.defaultTarget, else all that are
// configured. They must be closed.
func (x *access) nodes(set *settings, key token.PrivateKey, target string) (nodes, error) {
	cfg := set.Config
	target = cmp.Or(target, cfg.CLI.DefaultTarget)
	if target != "" {
		p, err := x.place(cfg, target)
		if err != nil {
			return nil, err
		}
		c, err := x.reach(set, p, key, client.Options{Notify: x.app.tell("")})
		if err != nil {
			return nil, err
		}
		return nodes{{where: p, client: c}}, nil
	}
	if len(cfg.Targets) == 0 {
		return nil, errs.Usage("no target is named, and there are neither cli.defaultTarget nor targets in the configuration")
	}
	if x.port != 0 || x.nodeID != "" {
		return nil, errs.Usage("--port and --node-id are for one node, and no target is named")
	}
	var all nodes
	for _, name := range slices.Sorted(maps.Keys(cfg.Targets)) {
		n := &node{where: place{name: name}}
		if p, err := x.place(cfg, name); err != nil {
			n.err = err
		} else {
			n.where = p
			n.client, n.err = x.reach(set, p, key, client.Options{Notify: x.app.tell(name + ": ")})
		}
		all = append(all, n)
	}
	return all, nil
}

// reach makes the client for a node. o has what is not the same for all.
func (x *access) reach(set *settings, p place, key token.PrivateKey, o client.Options) (*client.Client, error) {
	path, err := x.app.knownNodesPath(x.knownNodes)
	if err != nil && p.nodeID == "" {
		return nil, err
	}
	if path != "" {
		o.Known = client.OpenKnownNodes(path)
	}
	h := set.Config.HTTPClient
	o.URL, o.PathShell, o.Target, o.NodeID = p.url(), p.pathShell, p.known(), p.nodeID
	o.Signer, o.Subject = key.Signer(), whoami()
	o.ForgetCommand = "etcha known-nodes forget " + p.known()
	o.Trust, o.TLSSkipVerify, o.CAFile, o.NoSystemCA = h.Trust, h.TLSSkipVerify, h.CAFile, h.NoSystemCA
	o.Certificate, o.Key = h.Certificate, h.Key.Reveal()
	o.Proxy, o.Timeout = cmp.Or(p.proxy, h.Proxy), h.Timeout
	o.UserAgent, o.Log = "etcha/"+x.app.env.Version, set.log
	return client.New(o)
}

// tell is what a client tells of outside of a session, for the person.
func (a *app) tell(lead string) func(client.Event) {
	return func(e client.Event) { a.say("etcha", a.paint(dim, "etcha:"), lead+e.Text) }
}

type nodes []*node

func (all nodes) close() {
	for _, n := range all {
		if n.client != nil {
			n.client.Close()
		}
	}
}

// ask calls f for each node that can be asked, several at a time, and keeps its
// error.
func (all nodes) ask(ctx context.Context, f func(context.Context, *node) error) {
	var g errgroup.Group
	g.SetLimit(maxAsked)
	for _, n := range all {
		if n.err == nil {
			g.Go(func() error {
				n.err = f(ctx, n)
				return nil
			})
		}
	}
	_ = g.Wait() // the nodes have the errors
}

// failed are the errors of all, each with a hint where one is known.
func (all nodes) failed(cfg *config.Config) error {
	var failures []error
	for _, n := range all {
		if n.err != nil {
			failures = append(failures, withNearTarget(cfg, n.where, n.err))
		}
	}
	switch len(failures) {
	case 0:
		return nil
	case 1:
		return failures[0]
	}
	return errors.Join(failures...)
}

// withNearTarget adds a hint to the error of a host that does not exist: it may
// be a configured target that was mistyped.
func withNearTarget(cfg *config.Config, p place, err error) error {
	var unknown *net.DNSError
	if p.name != "" || !errors.As(err, &unknown) || !unknown.IsNotFound || len(cfg.Targets) == 0 {
		return err
	}
	e := errs.Transport(err, "")
	if near := nearest(p.host, slices.Sorted(maps.Keys(cfg.Targets))); len(near) > 0 {
		return e.WithHint("did you mean %s?", strings.Join(near, " or "))
	}
	return e.WithHint("%s is not among the configured targets: %s", p.host, targetNames(cfg))
}

// nearest are the names that somebody may have meant by word, at most three.
func nearest(word string, names []string) []string {
	const most = 3
	var near []string
	for _, name := range names {
		few := min(len(word), len(name)) / 3 // a swap counts twice
		if len(near) < most && (distance(strings.ToLower(word), strings.ToLower(name)) <= few || len(word) >= 3 && strings.HasPrefix(name, word)) {
			near = append(near, name)
		}
	}
	return near
}

// distance is the number of bytes to insert, remove or replace to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		corner := row[0]
		row[0] = i + 1
		for j := range len(b) {
			same := corner
			if a[i] != b[j] {
				same++
			}
			corner = row[j+1]
			row[j+1] = min(same, row[j]+1, corner+1)
		}
	}
	return row[len(b)]
}
