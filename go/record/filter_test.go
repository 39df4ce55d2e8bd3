package record

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func filtered(text ...string) string {
	var f Filter
	var b []byte
	for _, s := range text {
		b = f.Append(b, s)
	}
	return string(b)
}

// What draws gets through as it is.
func TestFilterLetsThrough(t *testing.T) {
	for _, s := range []string{
		"plain é€😀\r\n\ttab\b\a\x0e\x0f",
		"\x1b[m\x1b[1;31m\x1b[38;5;200m\x1b[38:2::1:2:3m\x1b[4:3m",
		"\x1b[H\x1b[2J\x1b[J\x1b[1K\x1b[12;40H\x1b[5A\x1b[B\x1b[3C\x1b[D\x1b[10G\x1b[7d\x1b[3X\x1b[4b",
		"\x1b[2L\x1b[2M\x1b[3P\x1b[4@\x1b[1;20r\x1b[S\x1b[2T\x1b[s\x1b[u\x1b[3g",
		"\x1b7\x1b8\x1bD\x1bE\x1bM\x1bH\x1b(0\x1b(B\x1b)0\x1b#8",
		"\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[?6h\x1b[?5h\x1b[?47h\x1b[?12;25h\x1b[4h\x1b[?69h\x1b[?2K",
		"\x1b[!p\x1b[4 q\x1b[1\"q",
	} {
		if got := filtered(s); got != s {
			t.Errorf("%q became %q", s, got)
		}
	}
}

// Nothing that a terminal answers, that acts on it or that stays gets through.
func TestFilterDrops(t *testing.T) {
	for name, s := range map[string]string{
		"answerback": "\x05", "nul, flow control, delete": "\x00\x11\x13\x7f",
		"device attributes": "\x1b[c\x1b[0c\x1b[>c\x1b[=c\x1bZ\u009a", "status reports": "\x1b[5n\x1b[6n\x1b[?6n\x1b[?15n",
		"window operations": "\x1b[14t\x1b[18t\x1b[19t\x1b[20t\x1b[21t\x1b[8;1;1t\x1b[22;0t\x1b[2t",
		"mode requests":     "\x1b[?25$p\x1b[4$p", "parameters": "\x1b[x\x1b[1x", "checksum": "\x1b[1;1;1;1;1;1*y",
		"state reports": "\x1b[1$w\x1b[2$u", "keyboard": "\x1b[?u\x1b[>1u\x1b[<u\x1b[=1u\x1b[>4;2m\x1b[?4m\x1b[2h\x1b[12h",
		"version": "\x1b[>q\x1b[>0q", "setting": "\x1bP$qm\x1b\\", "termcap": "\x1bP+q544e\x1b\\", "macro": "\x1bP0;0;0!z1b5b63\x1b\\",
		"sixel": "\x1bPq#0;2;0;0;0\x1b\\", "tmux passes through": "\x1bPtmux;\x1b\x1b]52;c;eA==\a\x1b\\",
		"clipboard": "\x1b]52;c;?\a\x1b]52;c;eHg=\x1b\\", "title": "\x1b]0;rm -rf\a\x1b]2;x\u009c", "colours": "\x1b]4;1;?\a\x1b]10;?\x1b\\\x1b]11;?\a\x1b]104\a",
		"links": "\x1b]8;;http://example.com\x1b\\\x1b]8;;\x1b\\", "notification": "\x1b]9;x\a\x1b]777;notify;a;b\a", "files": "\x1b]1337;File=name=eA==:eA==\a",
		"one byte forms": "\u009b6n\u009d52;c;?\a\u0090$qm\u009c\u009fx\u009c\u009ex\u009c\u0098x\u009c",
		"other strings":  "\x1b_G\x1b\\\x1b^x\x1b\\\x1bXx\x1b\\", "mouse": "\x1b[?9h\x1b[?1000h\x1b[?1002;1003;1006h\x1b[?1004h\x1b[?2004h\x1b[?1016h",
		"keys": "\x1b[?1h\x1b=\x1b>\x1b[?66h", "vt52": "\x1b[?2l", "132 columns": "\x1b[?3h", "scrollback": "\x1b[3J", "printing": "\x1b[i\x1b[5i\x1b[?5i",
		"leds": "\x1b[1q", "tests": "\x1b[2;1y", "saved modes": "\x1b[?1049s\x1b[?1049r", "without end": "\x1b[99999999999b", "charsets": "\x1b%G\x1b%@\x1b(K",
		"C1 switch": "\x1b F\x1b G", "memory": "\x1bl\x1bm\x1bF", "mouse highlight": "\x1b[1;2;3;4;5T", "incomplete": "\x1b[12",
		"cancelled": "\x1b[12\x18\x1b]0;x\x1a", "too long": "\x1b[" + strings.Repeat("1;", 200) + "m",
	} {
		if got := filtered(s); got != "" {
			t.Errorf("%s: of %q got through %q", name, s, got)
		}
		if got := filtered("a"+s[:len(s)/2], s[len(s)/2:]+"\x18b"); name != "incomplete" && got != "ab" {
			t.Errorf("%s: around it %q", name, got)
		}
	}
}

func TestFilterChanges(t *testing.T) {
	for s, want := range map[string]string{
		"\x1b[?1049;1000;25h":     "\x1b[?1049;25h",
		"\u009b31mred\u0085":      "\x1b[31mred\x1bE",
		"\x1bc":                   clearAll,
		"\x1b[3\n1m":              "\n\x1b[31m", // a control within a sequence is carried out first
		"\x1b]0;title\x1b[1mbold": "\x1b[1mbold",
		"\x1b[1\x1b[2m":           "\x1b[2m",
		"\x1b(\x1b[1m":            "\x1b[1m",
	} {
		if got := filtered(s); got != want {
			t.Errorf("%q became %q, want %q", s, got, want)
		}
	}
}

// noisy is output made of what matters to a terminal.
func noisy(t *rapid.T) string {
	return strings.Join(rapid.SliceOf(rapid.SampledFrom([]string{
		"\x1b", "[", "]", "P", "?", ">", "=", "\x1b[", "\x1b]", "\x1b\\", "\u009b", "\u009d", "\u0090", "\u009c", "\a", "\x18", "\x05", "52;c;?",
		"0", "6", "1049", ";", ":", "h", "l", "m", "n", "c", "t", "q", "p", "$", "!", " ", "\"", "text", "é", "\r\n", "J", "\x7f", "(", "0",
	})).Draw(t, "output"), "")
}

// However it is cut, the same gets through; and what got through gets through
// again unchanged, so that nothing forbidden is put together by leaving out.
func TestFilterProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := []rune(noisy(t))
		cut := rapid.IntRange(0, len(text)).Draw(t, "cut")
		whole := filtered(string(text))
		if pieces := filtered(string(text[:cut]), string(text[cut:])); pieces != whole {
			t.Fatalf("in pieces %q, whole %q", pieces, whole)
		}
		if again := filtered(whole); again != whole {
			t.Fatalf("%q became %q", whole, again)
		}
	})
}

func FuzzFilter(f *testing.F) {
	f.Add("\x1b[?1049;1000h\x1b]52;c;?\a\x1bP$qm\x1b\\\x1b[6n\u009b6n")
	f.Fuzz(func(t *testing.T, s string) {
		got := filtered(s)
		if again := filtered(got); again != got {
			t.Errorf("%q became %q, then %q", s, got, again)
		}
		for _, bad := range []string{"\x1b]", "\x1bP", "\x1b_", "\x1b^", "\x1bX", "\x1bZ", "\x05", "\u009b", "\u009d", "\u0090"} {
			if strings.Contains(got, bad) {
				t.Errorf("%q let %q through", s, bad)
			}
		}
	})
}
