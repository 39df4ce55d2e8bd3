package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"etcha/go/audit"
	"etcha/go/errs"
)

// auditPoll is how often audit show -f looks for new entries.
const auditPoll = 500 * time.Millisecond

// auditFlags are of the commands under audit.
type auditFlags struct {
	dir, recordings string
	heads           []string
	json            bool

	session, source, since string
	follow                 bool
}

func (a *app) auditCommand() *cobra.Command {
	var f auditFlags
	c := &cobra.Command{
		Use:   "audit COMMAND",
		Short: "Read and verify this node's log of who did what",
		Long: `Read and verify the log of who did what on this machine's node. Each entry holds the
hash of the one before it.`,
		Example: `etcha audit verify                            is anything missing or altered?
etcha audit verify --head 120:KgDJ…           also against a head noted earlier
etcha audit show --since 24h --source debug   what happened at a source`,
		GroupID: groupNode,
	}
	c.PersistentFlags().StringVar(&f.dir, "dir", "", "the log's `DIR` (default: audit in run.stateDir)")
	c.AddCommand(a.auditVerifyCommand(&f), a.auditShowCommand(&f))
	return c
}

func (a *app) auditVerifyCommand(f *auditFlags) *cobra.Command {
	c := &cobra.Command{
		Use:   "verify [flags]",
		Short: "Say everything that is missing or altered",
		Long: `Read the whole log and all recordings, and say everything that is missing or altered:
a line for each problem. Then print the head, SEQ:HASH of the last entry. Note it where
nobody on this machine can change it, and hand it in later with --head: who can write the
log can write a whole new one, and only that tells. The exit status is 1 when there is a
problem.`,
		RunE: func(c *cobra.Command, _ []string) error { return a.auditVerify(c.Context(), f) },
	}
	c.Flags().StringVar(&f.recordings, "recordings", "", "the `DIR` of recordings (default: run.recordings.dir, or recordings in run.stateDir)")
	c.Flags().StringArrayVar(&f.heads, "head", nil, "a head `SEQ:HASH` that was noted earlier; may be repeated")
	c.Flags().BoolVar(&f.json, "json", false, "print JSON")
	return c
}

func (a *app) auditShowCommand(f *auditFlags) *cobra.Command {
	c := &cobra.Command{
		Use:   "show [flags]",
		Short: "Show the log",
		Long:  `Show the log, the oldest entry first. It is not verified: etcha audit verify does that.`,
		RunE:  func(c *cobra.Command, _ []string) error { return a.auditShow(c.Context(), f) },
	}
	c.Flags().StringVar(&f.session, "session", "", "only entries about the session `ID`")
	c.Flags().StringVar(&f.source, "source", "", "only entries about the source `NAME`")
	c.Flags().StringVar(&f.since, "since", "", "only entries since this `TIME`: a duration such as 24h, or 2026-01-31T12:00:00Z")
	c.Flags().BoolVarP(&f.follow, "follow", "f", false, "go on with new entries as they come")
	c.Flags().BoolVar(&f.json, "json", false, "print the entries as they stand in the log, a line each")
	return c
}

// fill takes the folders that were not given from the configuration.
func (f *auditFlags) fill(ctx context.Context, a *app, recordings bool) error {
	if f.dir != "" && (f.recordings != "" || !recordings) {
		return nil
	}
	loaded, err := a.loadConfig(ctx)
	if err != nil {
		return err
	}
	run := loaded.Config.Run
	if f.dir == "" {
		f.dir = filepath.Join(run.StateDir, "audit")
	}
	if f.recordings == "" {
		f.recordings = run.Recordings.Dir
	}
	if f.recordings == "" {
		f.recordings = filepath.Join(run.StateDir, "recordings")
	}
	return nil
}

// unreadable explains a log that cannot be read.
func unreadable(dir string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &errs.Error{Text: "there is no audit log", Hint: "it is in run.stateDir of the node; --dir names another folder, -c another configuration", Err: err}
	case errors.Is(err, fs.ErrPermission):
		return &errs.Error{Text: "read the audit log " + dir, Hint: "only the node's own user may read it; try it as root", Err: err}
	}
	return err
}

func (a *app) auditVerify(ctx context.Context, f *auditFlags) error {
	var o audit.VerifyOptions
	for _, s := range f.heads {
		h, err := audit.ParseHead(s)
		if err != nil {
			return errs.Usage("--head: %s", err).WithHint("etcha audit verify prints one")
		}
		o.Noted = append(o.Noted, h)
	}
	if err := f.fill(ctx, a, true); err != nil {
		return err
	}
	report, err := audit.Verify(f.dir, f.recordings, o)
	if err != nil {
		return unreadable(f.dir, err)
	}
	if f.json {
		if report.Problems == nil {
			report.Problems = []audit.Problem{}
		}
		err = a.printJSON(report)
	} else {
		_, err = io.WriteString(a.stdout, reportText(report))
	}
	if err == nil && !report.Good() {
		return exit(errs.ExitOther)
	}
	return err
}

// reportText is a report for people.
func reportText(r audit.Report) string {
	var b strings.Builder
	for _, p := range r.Problems {
		fmt.Fprintf(&b, "problem: %s\n", printableText(p.String()))
	}
	for _, p := range r.Remarks {
		fmt.Fprintf(&b, "remark: %s\n", printableText(p.String()))
	}
	if r.More > 0 {
		fmt.Fprintf(&b, "and %d more problems\n", r.More)
	}
	problems := "no problems"
	if n := len(r.Problems) + r.More; n > 0 {
		problems = counted(uint64(n), "problem", "problems")
	}
	fmt.Fprintf(&b, "%s in %s", problems, counted(r.Entries, "entry", "entries"))
	if r.Entries > 0 {
		fmt.Fprintf(&b, " (%d to %d)", r.First, r.Last)
	}
	fmt.Fprintf(&b, " and %s\n", counted(uint64(r.Recordings), "recording", "recordings"))
	if r.Head != "" {
		fmt.Fprintf(&b, "head: %s\n", r.Head)
	}
	return b.String()
}

// counted is a number with its noun.
func counted(n uint64, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// auditFilter says which entries are shown.
type auditFilter struct {
	session, source string
	since           time.Time
}

func (f auditFilter) shows(e audit.Entry) bool {
	return (f.session == "" || e.Session == f.session) &&
		(f.source == "" || e.Source == f.source) &&
		!e.Time.Before(f.since)
}

// sinceTime reads a duration before now, or a time.
func sinceTime(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, errs.Usage("--since: %q is not a duration and not a time", s).
		WithHint("write 24h, 2026-01-31 or 2026-01-31T12:00:00Z")
}

func (a *app) auditShow(ctx context.Context, f *auditFlags) error {
	since, err := sinceTime(f.since, time.Now())
	if err != nil {
		return err
	}
	if err := f.fill(ctx, a, false); err != nil {
		return err
	}
	if _, err := os.Stat(f.dir); err != nil {
		return unreadable(f.dir, err)
	}
	r := audit.NewReader(f.dir, 0)
	defer func() { _ = r.Close() }()
	filter := auditFilter{f.session, f.source, since}
	for {
		err := a.showEntries(r, filter, f.json)
		if err != nil || !f.follow {
			return unreadable(f.dir, err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(auditPoll):
		}
	}
}

// showEntries shows what there is now.
func (a *app) showEntries(r *audit.Reader, filter auditFilter, raw bool) error {
	for {
		line, e, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, audit.ErrDamaged):
			a.say("warning", a.paint(yellow, "warning:"), err.Error())
			continue
		case err != nil:
			return err
		}
		if !filter.shows(e) {
			continue
		}
		text := entryText(e)
		if raw {
			text = string(line)
		}
		if _, err := fmt.Fprintln(a.stdout, text); err != nil {
			return err
		}
	}
}

// entryText is an entry for people, on one line.
func entryText(e audit.Entry) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %6d %-10s", e.Time.UTC().Format("2006-01-02T15:04:05.000Z"), e.Seq, printableText(string(e.Event)))
	for _, f := range [][2]string{
		{"session", e.Session},
		{"source", e.Source},
		{"key", e.Key},
		{"subject", e.Subject},
		{"addr", e.Addr},
		{"user", e.User},
		{"reason", e.Reason},
	} {
		if f[1] != "" {
			b.WriteString(" " + f[0] + "=" + wordText(f[1]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.Detail)) {
		b.WriteString(" " + wordText(name) + "=" + detailText(e.Detail[name]))
	}
	return strings.TrimRight(b.String(), " ")
}

func detailText(v any) string {
	if s, ok := v.(string); ok {
		return wordText(s)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return wordText(fmt.Sprint(v))
	}
	return printableText(string(b))
}

// wordText is a text that reads as one word: quoted where it is empty or has a
// space, a quote, or anything that does not print.
func wordText(s string) string {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return r == ' ' || r == '"' || r == '=' || !strconv.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// printableText is s with everything that does not print as an escape.
func printableText(s string) string {
	var b strings.Builder
	for _, r := range s {
		if strconv.IsPrint(r) {
			b.WriteRune(r)
			continue
		}
		q := strconv.QuoteRune(r)
		b.WriteString(q[1 : len(q)-1])
	}
	return b.String()
}
