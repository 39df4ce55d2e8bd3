package command

import (
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// sameScripts do the same in both; long tells which the long shell itself runs.
var sameScripts = []struct {
	name, text string
	long       bool
}{
	{"nothing", "", true},
	{"comment", "# nothing", true},
	{"true", "true", true},
	{"false", "false", true},
	{"exit 0", "exit", true},
	{"exit 3", "exit 3; echo no", true},
	{"exit 300", "exit 300", true},
	{"errexit", "echo a; false; echo b", true},
	{"errexit in a list", "false && true; echo b", true},
	{"errexit in a function", "f() { false; echo in; }; f; echo b", true},
	{"errexit not in a condition", "if false; then echo a; fi; ! true; echo b", true},
	{"errexit in an assignment", "x=$(false); echo b", true},
	{"pipefail", "false | true; echo b", true},
	{"broken pipe", "yes | head -n 1", true},
	{"status 127", "nosuchprogram", true},
	{"status 126", "/etc/passwd", true},
	{"order of output", "echo a; echo b >&2; echo c; echo d >&2", true},
	{"order with a program", "ls /nonexistent || echo after; sh -c 'echo 1; echo 2 >&2; echo 3'", true},
	{"no line end", "printf x", true},
	{"blanks around", "printf '\\n  x y  \\n\\n'", true},
	{"binary", `printf '\377\376\001\177\200x'`, true},
	{"bytes in the script", "printf '%s' '\x01\x7f\xff\xc3ä'", true},
	{"NUL in the output", `printf 'a\0b'`, true},
	{"huge", "head -c 300000 /dev/zero | tr '\\0' x; echo; seq 1 20000", true},
	{"huge to stderr", "seq 1 50000 >&2; exit 4", true},
	{"here document", "cat <<X\na $HOME\n'b'\nX\ncat <<'Y'\n$HOME\nY", true},
	{"here document without end", "cat <<X\nabc", true},
	{"here string", `cat <<< "a b"`, true},
	{"standard input", "cat; read x || echo end", true},
	{"takes all input", "cat >/dev/null", true},
	{"line numbers", "\n\necho $LINENO; nosuch", true},
	{"unbound", "x=1; echo ${y?has no value}", true},
	{"syntax, first line", "echo a; )", false},
	{"syntax, second line", "true\necho 'a", false},
	{"syntax, separators", ";;", false},
	{"syntax, open group", "if true; then", false},
	{"closing parenthesis", `) ; echo out; (`, false},
	{"closing quote", `"; echo out; "`, false},
	{"eval", `eval 'echo a; exit 5'`, true},
	{"break outside", "break; continue; echo on", true},
	{"return outside", "return 3; echo no", true},
	{"trap EXIT", "trap 'echo bye $?' EXIT; false", true},
	{"trap EXIT changes the status", "trap 'exit 9' EXIT; false", true},
	{"trap ERR", "trap 'echo err $LINENO' ERR\nfalse", true},
	{"trap -p", "trap", true},
	{"exec", "exec echo a", true},
	{"exec fails", "exec nosuchprogram", true},
	{"exec redirects", "exec >/dev/null; echo a; echo b >&2", true},
	{"closes its output", "exec >&- 2>&-; exit 6", true},
	{"descriptors", "ls /dev/fd/ | wc -l; (echo x >&3) || echo no3; (echo x >&4) || echo no4; (: <&5) || echo no5", true},
	{"subshell", "(exit 4) || echo $?; (cd /; pwd)", true},
	{"parameters", `echo "$# $0 $*"; for a; do echo no; done`, true},
	{"options", "echo $-", true},
	{"set", "set -u; echo $nope", false},
	{"set lists", "set | grep -c etcha || echo none", false},
	{"its number", "[[ $$ == $BASHPID ]] && echo same", false},
	{"kills itself", "kill -TERM $$", false},
	{"kills its group", "kill -KILL 0", false},
	{"killed by a program", `sh -c 'k=kil; "${k}l" -9 0'`, true},
	{"kills its parent's child", `x=kil; ${x}l -9 $BASHPID`, false},
	{"background", "sleep 0 & wait; echo done", false},
	{"coproc", "coproc cat; echo a", false},
	{"process substitution", "diff <(echo a) <(echo a)", false},
	{"redirections are no background", "ls /nonexistent &>/dev/null || echo a 2>&1 |& cat && echo b", true},
	{"environment", "env | sort | grep -v ^_=", true},
	{"shell level", "echo $SHLVL", true},
	{"umask", "umask; umask 077; umask", true},
	{"directory", "pwd; cd /usr; pwd; echo $OLDPWD", true},
	{"limits", "ulimit -n 100; ulimit -n", true},
	{"glob", "cd /; echo et[c]; shopt -s nullglob; echo nosuch*", true},
	{"arrays", `a=(1 2 "3 4"); echo "${a[@]}" "${#a[@]}"`, true},
	{"arithmetic error", "echo $((1/0))", true},
	{"readonly", "readonly a=1; a=2; echo no", true},
	{"names that the shell uses", "echo ${x-unset} ${s-unset} ${REPLY-unset}", true},
	{"conditions", "[[ -f /etc/passwd && ! -e /nonexistent ]]", true},
	{"unset everything", "unset PATH HOME; echo ${PATH-none}; type cd", true},
	{"disables errexit", "shopt -uo errexit; false; echo on", true},
	{"function names of the server", "read() { echo mine; }; printf() { echo mine; }; read; printf", true},
	{"exports", "export PATH=/nowhere IFS=x A=1; ls || echo lost", true},
	{"last status", "echo $?; true; echo $?", true},
	{"pipe status", "true | true; echo ${PIPESTATUS[*]}", true},
	{"time", "TIMEFORMAT=; time true; echo x", true},
	{"error of a builtin", "cd /nonexistent", true},
	{"no newline at the end of a comment", "echo a # b", true},
	{"backslash at the end", "echo a \\", true},
	{"carriage returns", "echo a\r\necho b\r", true},
}

// The same random scripts give the same in both.
func TestRandomScripts(t *testing.T) {
	needBash(t)
	r := paths["shells"](t).(*Shells)
	rapid.Check(t, func(rt *rapid.T) {
		s := checkScript(strings.Join(rapid.SliceOfN(statement(3), 1, 5).Draw(rt, "script"), "\n"))
		s.Vars = []string{"P=" + rapid.StringOfN(rapid.RuneFrom([]rune("a 'ä\"$\\\n\x01\x7f*")), 0, 8, -1).Draw(rt, "P"), "_CHECK=1"}
		want, got := runScript(t, Process{}, s), runScript(t, r, s)
		if brief(got) != brief(want) {
			rt.Fatalf("%q: the long shell gives %s, a process %s", s.Text, brief(got), brief(want))
		}
	})
}

// statement draws one line of a script.
func statement(depth int) *rapid.Generator[string] {
	word := rapid.SampledFrom([]string{
		"a", "$P", `"$P"`, `"${P:-x}"`, "$x", `'$x'`, "$?", `"$(echo sub; false)"`, "`echo old`", "/et[c]", "$((1+2))", "ä", "$LINENO", "{1,2}", "~", `$'\n'`, "",
	})
	return rapid.Custom(func(t *rapid.T) string {
		kind := rapid.IntRange(0, 17).Draw(t, "kind")
		if depth == 0 {
			kind = kind % 10
		}
		w := word.Draw(t, "word")
		sub := func() string { return statement(depth-1).Draw(t, "sub") }
		switch kind {
		case 0:
			return "echo " + w
		case 1:
			return "echo " + w + " >&2"
		case 2:
			return "x=" + w
		case 3:
			return "[[ " + w + " == a* ]]"
		case 4:
			return "false"
		case 5:
			return "printf '%s|' " + w
		case 6:
			return "nosuch " + w
		case 7:
			return "test -n " + w
		case 8:
			return "exit $((" + strconv.Itoa(rapid.IntRange(0, 300).Draw(t, "n")) + "))"
		case 9:
			return "cat <<X\n" + w + "\nX"
		case 10:
			return "if " + sub() + "\nthen " + sub() + "\nelse " + sub() + "\nfi"
		case 11:
			return "( " + sub() + "\n)"
		case 12:
			return "{ " + sub() + "\n} | cat"
		case 13:
			return "for i in 1 " + w + "; do " + sub() + "\ndone"
		case 14:
			return "{ " + sub() + "\n} || " + sub()
		case 15:
			return "! { " + sub() + "\n}"
		case 16:
			return "trap 'echo end " + strings.ReplaceAll(w, "'", "") + "' EXIT\n" + sub()
		}
		return sub() + " )" // a mistake
	})
}
