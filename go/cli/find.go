package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"etcha/go/client"
	"etcha/go/errs"
	"etcha/go/token"
	"etcha/go/wire"
)

// minPrefix is the shortest beginning of a session's ID that stands for it.
const minPrefix = 4

// found is a session on one of the nodes that were asked.
type found struct {
	node *node
	info wire.SessionInfo
}

// search asks nodes for sessions. It has one user.
type search struct {
	access *access
	set    *settings
	key    token.PrivateKey
	nodes  nodes
}

// newSearch finds the nodes to ask. It must be closed.
func (x *access) newSearch(ctx context.Context, target string) (*search, error) {
	if err := x.checkFlags(); err != nil {
		return nil, err
	}
	set, err := x.app.load(ctx)
	if err != nil {
		return nil, err
	}
	key, err := x.privateKey(set)
	if err != nil {
		return nil, err
	}
	all, err := x.nodes(set, key, target)
	if err != nil {
		return nil, err
	}
	return &search{x, set, key, all}, nil
}

func (q *search) close() { q.nodes.close() }

// list asks all nodes for their sessions; those of a node are together, newest
// first.
func (q *search) list(ctx context.Context) []found {
	lists := make([]wire.SessionList, len(q.nodes))
	place := make(map[*node]*wire.SessionList, len(q.nodes))
	for i, n := range q.nodes {
		place[n] = &lists[i]
	}
	q.nodes.ask(ctx, func(ctx context.Context, n *node) (err error) {
		*place[n], err = n.client.Sessions(ctx)
		n.id = place[n].Node
		return err
	})
	var all []found
	for i, n := range q.nodes {
		for _, info := range lists[i].Sessions {
			all = append(all, found{n, info})
		}
	}
	return all
}

// one finds the session that a beginning of its ID means; also one that has ended
// when ended says so.
func (q *search) one(all []found, session string, ended bool) (found, error) {
	if len(session) < minPrefix {
		return found{}, errs.Usage("%q is too short for a session: at least %d characters of its ID", session, minPrefix)
	}
	var fit, over []found
	for _, f := range all {
		switch {
		case !strings.HasPrefix(f.info.Session, session):
		case f.info.State == wire.SessionEnded:
			over = append(over, f)
		case f.info.Session == session:
			return f, nil
		default:
			fit = append(fit, f)
		}
	}
	fit, over = distinct(fit), distinct(over)
	switch {
	case len(fit) == 1:
		return fit[0], nil
	case ended && len(fit) == 0 && len(over) == 1:
		return over[0], nil
	case len(fit) == 0 && len(over) == 1:
		return found{}, hasEnded(over[0])
	case len(fit) == 0:
		return found{}, q.noSession(session)
	}
	return found{}, errs.Usage("%q is the beginning of several sessions:\n%s", session, q.table(fit)).WithHint("write more of it")
}

// distinct leaves out a session that was found before on the same node: two
// targets may lead to one.
func distinct(all []found) []found {
	var kept []found
	for _, f := range all {
		if !slices.ContainsFunc(kept, f.same) {
			kept = append(kept, f)
		}
	}
	return kept
}

// same reports whether both are one session, as far as the nodes say.
func (f found) same(other found) bool {
	return f.info.Session == other.info.Session && f.node.id == other.node.id
}

func hasEnded(f found) error {
	e := errs.Transport(nil, "session %s on %s has ended", f.info.Session, f.node.where)
	if f.info.Exit != nil {
		e.Text = fmt.Sprintf("session %s on %s %s", f.info.Session, f.node.where, watchedEnd(*f.info.Exit))
	}
	e.Code = wire.CodeNotFound
	return e
}

// noSession is the error when nobody has it: a node that could not be asked may.
func (q *search) noSession(session string) error {
	where := q.nodes[0].where.String()
	if len(q.nodes) > 1 {
		where = "any target"
	}
	e := errs.Transport(nil, "there is no session %s on %s that your key may see", session, where).
		WithHint("etcha sessions lists those that there are")
	e.Code = wire.CodeNotFound
	if failed := q.nodes.failed(q.set.Config); failed != nil {
		if len(q.nodes) == 1 {
			return failed
		}
		return errors.Join(append(single(failed), e)...)
	}
	return e
}

// ownIn are the sessions in a state that were opened with this key.
func ownIn(all []found, state wire.SessionState) []found {
	var fit []found
	for _, f := range all {
		if f.info.State == state && f.info.Own {
			fit = append(fit, f)
		}
	}
	return distinct(fit)
}

// own finds the session to attach to when none is named: the only detached one
// that was opened with this key, else the only one that ended since. On a terminal
// one of several may be chosen.
func (q *search) own(all []found) (found, error) {
	fit := ownIn(all, wire.SessionDetached)
	if len(fit) == 0 {
		fit = ownIn(all, wire.SessionEnded)
	}
	switch len(fit) {
	case 1:
		return fit[0], nil
	case 0:
		none := errs.Usage("there is no detached session of your key").
			WithHint("etcha sessions lists all; etcha attach SESSION takes one over from where it is attached")
		failed := q.nodes.failed(q.set.Config)
		switch {
		case failed == nil:
			return found{}, none
		case len(q.nodes) == 1:
			return found{}, failed
		}
		none.Text += " on the targets that answer"
		return found{}, errors.Join(append(single(failed), none)...)
	}
	if in, out, err := openConsole(); err == nil && isTerminal(q.access.app.env.Stdin) {
		defer in.Close()
		defer out.Close()
		fmt.Fprint(out, numbered(q.table(fit)))
		for range 3 {
			fmt.Fprintf(out, "Which one? 1 to %d: ", len(fit))
			line, err := readShort(in, 20)
			if err != nil {
				break
			}
			if n, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && n >= 1 && n <= len(fit) {
				return fit[n-1], nil
			}
		}
	}
	return found{}, errs.Usage("several detached sessions are yours:\n%s", q.table(fit)).WithHint("etcha attach SESSION")
}

// table lists sessions for a person, without a line's end at its end.
func (q *search) table(all []found) string {
	var b bytes.Buffer
	writeSessions(&b, all, len(q.nodes) > 1)
	return strings.TrimRight(b.String(), "\n")
}

// numbered puts numbers before the lines of a table after its heading.
func numbered(table string) string {
	var b strings.Builder
	for i, line := range strings.Split(table, "\n") {
		number := ""
		if i > 0 {
			number = strconv.Itoa(i)
		}
		fmt.Fprintf(&b, "%3s  %s\n", number, line)
	}
	return b.String()
}

// another makes a client of its own for a session on a node, whose events are
// the session's.
func (q *search) another(n *node, notify func(client.Event)) (*client.Client, error) {
	return q.access.reach(q.set, n.where, q.key, client.Options{Notify: notify})
}
