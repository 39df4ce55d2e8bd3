package cli

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"etcha/go/errs"
	"etcha/go/metrics"
	"etcha/go/wire"
)

func writeCommandLine(b *bytes.Buffer, root *cobra.Command) {
	front(b, "Command line", "Every command and flag.", 2)
	b.WriteString("```\netcha [flags] COMMAND …\n```\n\n" +
		"`-h` after any command shows its help. Flags of `etcha` itself stand before the command;\n" +
		"the ones that are marked so may also stand after it.\n\n")
	writeFlagTable(b, "Before the command", root.LocalNonPersistentFlags())
	writeFlagTable(b, "Before or after the command", root.PersistentFlags())
	b.WriteString("Colours are used on a terminal only, and not with `NO_COLOR` or `cli.noColor`. Values are found\n" +
		"as [configuration](/references/configuration.md) says; exit statuses are in\n" +
		"[errors and exit status](/references/errors.md).\n\n")
	for _, c := range ordered(root.Commands()) {
		writeCommandSection(b, c)
	}
}

// writeCommandSection writes a command and those under it.
func writeCommandSection(b *bytes.Buffer, c *cobra.Command) {
	if c.Hidden || c.Name() == "help" || c.Name() == "completion" && c.HasParent() && c.Parent().HasParent() {
		return
	}
	fmt.Fprintf(b, "## %s\n\n%s.\n\n```\n%s\n```\n\n", c.CommandPath(), c.Short, strings.Join(usageLines(c), "\n"))
	if c.Long != "" && c.Name() != "completion" {
		fmt.Fprintf(b, "%s\n\n", markdownLong(c.Long))
	}
	writeFlagTable(b, "Flags", c.LocalNonPersistentFlags())
	writeFlagTable(b, "Flags of its commands too", c.PersistentFlags())
	if c.Example != "" {
		fmt.Fprintf(b, "```\n%s\n```\n\n", c.Example)
	}
	if c.Name() == "completion" {
		return // one for each shell, all alike
	}
	for _, sub := range ordered(c.Commands()) {
		writeCommandSection(b, sub)
	}
}

// markdownLong turns a help text's indented block into a code block.
func markdownLong(long string) string {
	var out []string
	inCode := false
	for _, line := range strings.Split(strings.TrimSpace(long), "\n") {
		if code := strings.HasPrefix(line, "  "); code != inCode {
			inCode = code
			if code {
				out = append(out, "")
			}
			out = append(out, "```")
		}
		out = append(out, line)
	}
	if inCode {
		out = append(out, "```")
	}
	return strings.Join(out, "\n")
}

func writeFlagTable(b *bytes.Buffer, title string, flags *pflag.FlagSet) {
	var rows []string
	visible(flags, func(f *pflag.Flag) {
		if f.Name == "help" {
			return
		}
		name, text := flagColumns(f)
		rows = append(rows, fmt.Sprintf("| `%s` | %s |", strings.TrimSpace(name), cell(text)))
	})
	if len(rows) > 0 {
		fmt.Fprintf(b, "| %s | |\n|---|---|\n%s\n\n", strings.ToLower(title), strings.Join(rows, "\n"))
	}
}

// cell is text as it may stand in a table.
func cell(text string) string {
	text = strings.ReplaceAll(text, "|", `\|`)
	return strings.ReplaceAll(strings.ReplaceAll(text, "<", "&lt;"), "\n", " ")
}

func writeMetrics(b *bytes.Buffer, _ *cobra.Command) {
	front(b, "Metrics", "Every metric of a node.", 4)
	fmt.Fprintf(b, "A node with `run.systemMetricsKey` answers `GET %s?key=…` (or with the key as a Bearer\n"+
		"token) in the formats of Prometheus and OpenMetrics. The Go runtime's own (`go_…`, `process_…`)\n"+
		"come on top. Counters of a source start at 0 when the node starts, so that the first session\n"+
		"counts. Alert rules are in `config/prometheus/`; see [monitoring](/guides/monitoring.md).\n\n", wire.PathMetrics)
	b.WriteString("| metric | kind | labels | meaning |\n|---|---|---|---|\n")
	for _, d := range metrics.Describe() {
		labels := ""
		if len(d.Labels) > 0 {
			labels = "`" + strings.Join(d.Labels, "` `") + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", d.Name, d.Type, labels, cell(d.Help))
	}
}

func writeErrors(b *bytes.Buffer, _ *cobra.Command) {
	front(b, "Errors and exit status", "What the program returns, and what a node answers when it refuses.", 3)
	b.WriteString("Errors are written to stderr, one `error:` line each, followed by a `hint:` line where there is\na way out.\n\n")
	b.WriteString("## Exit status\n\n| status | meaning |\n|---|---|\n")
	for _, s := range exitStatuses {
		fmt.Fprintf(b, "| %s | %s |\n", s[0], cell(s[1]))
	}
	b.WriteString("\n## Refusals\n\n" +
		"A node refuses with `" + wire.TypeProblem + "` (RFC 9457); `code` is stable. Until the token's\n" +
		"signature has been verified each refusal is the same `not_found`, whatever was wrong; the node's\n" +
		"log has the true reason.\n\n| code | status | meaning | what to do |\n|---|---|---|---|\n")
	for _, r := range refusals {
		fmt.Fprintf(b, "| `%s` | %d | %s | %s |\n", r.code, r.code.Status(), cell(r.meaning), cell(r.remedy))
	}
	b.WriteString("\n## How a session ends\n\n| reason | meaning | exit status of etcha shell |\n|---|---|---|\n")
	for _, e := range endings {
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", e.reason, cell(e.meaning), e.status)
	}
}

// exitStatuses are the statuses that the program returns, for the manual. What
// gives them is errs.ExitOf, and outcome for a session.
var exitStatuses = [...][2]string{
	{"0", "it worked; `etcha shell` and `etcha demo`: the remote program's status was 0"},
	{"1", "an error that is not named here, such as a wrong configuration"},
	{fmtExitUsage, "wrong flags or arguments, or something they name is missing"},
	{"1–254", "`etcha shell`, `etcha attach`, `etcha sessions join` and `etcha demo`: the remote program's own status"},
	{"126, 127", "the program could not be started: may not be executed, is not there"},
	{"128 + n", "`etcha shell` and `etcha demo`: signal n ended the remote program, or the client itself; 141 when nobody reads stdout any more"},
	{"255", "the node could not be reached, refused, was lost, or ended the session; the session was ended with `~.`"},
}

// fmtExitUsage is errs.ExitUsage as text.
const fmtExitUsage = string(rune('0' + errs.ExitUsage))

// refusal explains a code of the wire.
type refusal struct {
	code            wire.Code
	meaning, remedy string
}

var refusals = [...]refusal{
	{wire.CodeNotFound, "there is nothing here for this token", "check that the source exists on the node and has a shell, that your public key is in `run.verifyKeys` or in the source's `verifyKeys`, and that the target leads to the node you mean"},
	{wire.CodeBadRequest, "the token is good, the request makes no sense", "clients of another version? compare `etcha version`"},
	{wire.CodeExpired, "the token's five seconds are over", "tried again by itself; a clock that is far off is corrected by the node's signed time"},
	{wire.CodeClockSkew, "the token is from the future", "as `expired`"},
	{wire.CodeDenied, "the key is known, but something that the request asks for is not permitted; the text says what", "ask for less, or change the source's configuration"},
	{wire.CodeApproval, "the source requires counter-signatures (`shell.require`), and some are missing", "the client asks for them, or reads them with `--approvals`; others make them with `etcha approve`"},
	{wire.CodeReplayed, "the token was used before", "tried again by itself"},
	{wire.CodeOffset, "input or output at an offset that the node does not have", "handled by the client; `offset` is the one that is wanted"},
	{wire.CodeEnded, "the session has ended", "open another"},
	{wire.CodeTooLarge, "the request is larger than the protocol allows", "send less at once"},
	{wire.CodeTimeout, "the request took too long to arrive", "look at the network"},
	{wire.CodeLimited, "too many sessions, or too many failed requests from this address", "wait for as long as `Retry-After` says"},
	{wire.CodeInternal, "an error inside the node", "its log has the cause"},
	{wire.CodeDraining, "the node is about to stop", "try again; another daemon may take over"},
	{wire.CodeUnready, "the node cannot work yet: its replay journal or its keeper is not available", "try again in a few seconds; if it stays, the node's log has the cause"},
}

// ending explains a reason for a session's end.
type ending struct {
	reason          wire.ExitReason
	meaning, status string
}

var endings = [...]ending{
	{wire.ReasonExited, "the program ended by itself", "the program's, 128 + n for signal n"},
	{wire.ReasonClosed, "the client closed it (`~.`)", "255, or 128 + n for the signal to the client"},
	{wire.ReasonIdle, "nothing was typed or printed for `idleTimeout`", "255"},
	{wire.ReasonAge, "it reached `run.timeoutShell`", "255"},
	{wire.ReasonLost, "nobody was attached for longer than `resumeFor`, or `detachFor` where it was opened with `--detach`", "255"},
	{wire.ReasonPolicy, "the node's configuration no longer permits it", "255"},
	{wire.ReasonStopped, "the node was stopped with its sessions", "255"},
	{wire.ReasonKilled, "an operator ended it", "255"},
	{wire.ReasonKeeper, "the process that held the session on the node died", "255"},
	{wire.ReasonRecord, "it could not be recorded any more, and the source requires that", "255"},
}
