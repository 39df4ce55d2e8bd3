package command

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// shellOptions reads the command of an exec as bash with options that can be set
// in a subshell too, and gives them as arguments of set.
func shellOptions(argv []string) (options []string, ok bool) {
	if len(argv) < 2 || filepath.Base(argv[0]) != "bash" || argv[len(argv)-1] != "-c" {
		return nil, false
	}
	words := argv[1 : len(argv)-1]
	for i := 0; i < len(words); i++ {
		switch w := words[i]; w {
		case "-e", "-u", "-f", "-eu", "-ue":
			options = append(options, w)
		case "-o", "-eo", "-euo":
			if i++; i == len(words) || !slices.Contains(setOptions, words[i]) {
				return nil, false
			}
			options = append(options, w, words[i])
		case "--norc", "--noprofile":
		default:
			return nil, false
		}
	}
	return options, true
}

var setOptions = []string{"errexit", "nounset", "noglob", "pipefail"}

// odd is what a script in a subshell could see or do differently: the number,
// the options and the variables of the shell itself, traces, process lists in
// which the shell's command line shows, and what goes on in the background.
var odd = regexp.MustCompile(`\$\$|\$\{[$!]|\$!|\$_(\W|$)|\$\{_\W|[<>]\(|/proc/|BASH|DEBUG|RETURN|FUNCNAME|SECONDS|xtrace|verbose` +
	`|\b(set|declare|typeset|compgen|caller|times|coproc|enable|jobs|kill|killall|pkill|pgrep|pidof|ps|top|lsof|fuser|logout|suspend|history|fc)\b`)

// background reports whether a script may start something in the background: an
// & that is not part of &&, |&, &> or a duplicated descriptor.
func background(text string) bool {
	for i := 0; i < len(text); i++ {
		if text[i] != '&' {
			continue
		}
		if i+1 < len(text) && (text[i+1] == '&' || text[i+1] == '>') {
			i++
			continue
		}
		if i == 0 || !strings.ContainsRune("<>|", rune(text[i-1])) {
			return true
		}
	}
	return false
}

// plainScript reports whether a script does the same in a subshell of a
// long-lived shell as in one of its own.
func plainScript(s Script) bool {
	return s.Kind == KindCheck && s.Stdin == "" && s.Exec.ContainerImage == "" && (isRoot() || !isTrue(s.Exec.Sudo)) &&
		len(s.Text) <= maxShellText && strings.IndexByte(s.Text, 0) < 0 && !odd.MatchString(s.Text) && !background(s.Text)
}

// plainEnv reports whether bash does nothing by itself because of an
// environment, and reads bytes as they are.
func plainEnv(env []string) bool {
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		switch {
		case strings.HasPrefix(name, "BASH"), slices.Contains([]string{"ENV", "SHELLOPTS", "POSIXLY_CORRECT", "TMOUT", "PS4"}, name):
			return false
		case name == "LANG" || strings.HasPrefix(name, "LC_"):
			if !plainLocale.MatchString(value) {
				return false
			}
		}
	}
	return true
}

var plainLocale = regexp.MustCompile(`(?i)^(|C|POSIX|.*\.utf-?8)$`)

// plainVariable reports whether a variable means nothing to bash.
func plainVariable(name string) bool {
	return prefixPattern.MatchString(name) && !special.MatchString(name)
}

var special = regexp.MustCompile(`^(_|BASH.*|COMP_.*|COMPREPLY|COPROC|DIRSTACK|ENV|EPOCH.*|EUID|EXECIGNORE|FCEDIT|FIGNORE|FUNC.*|` +
	`GLOB.*|GROUPS|HIST.*|histchars|HOME|HOST.*|IFS|IGNOREEOF|INPUTRC|INSIDE_EMACS|LANG|LC_.*|LD_.*|LINE.*|LINES|COLUMNS|MACHTYPE|MAIL.*|MAPFILE|` +
	`OLDPWD|OPT.*|OSTYPE|PATH|PIPESTATUS|POSIX.*|PPID|PROMPT.*|PS[0-9]|PWD|RANDOM|READLINE.*|REPLY|SECONDS|SHELL.*|SHLVL|SRANDOM|` +
	`TERM|TIMEFORMAT|TMOUT|TMPDIR|UID|auto_resume|CHILD_MAX)$`)
