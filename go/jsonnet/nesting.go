package jsonnet

import (
	"strings"

	gojsonnet "github.com/google/go-jsonnet"
	"github.com/google/go-jsonnet/ast"
	"github.com/google/go-jsonnet/toolutils"
)

// The parser and the passes after it recurse for every bracket, operator and
// local that is open around an expression, without a limit. A bracket takes 50 KB
// of stack; at 1 GB the Go runtime ends the process, which no recover prevents. So
// code is measured before it is parsed, by tokens: those of the expression that a
// place stands in, at each level of brackets around it, weighed by the stack they
// may take. That is never less than the depth of the tree, and small for real
// files, however long they are.

// Weights of a token. MaxNesting of the dearest takes about 200 MB.
const (
	weightPlain   = 1
	weightSign    = 4  // what may stand before an operand
	weightKeyword = 8  // what an expression without brackets follows
	weightBracket = 16 // while it is open, then weightPlain
)

// checkCode is an error when the file at path nests too deeply to be parsed.
func (im *importer) checkCode(path string) error {
	f := im.open(path, true)
	if f.err != nil {
		return nil // the import itself will say so
	}
	err := checkNesting(path, string(f.text))
	if err != nil {
		im.mu.Lock()
		defer im.mu.Unlock()
		im.known[path] = imported{err: err}
	}
	return err
}

// prepare measures what a parsed file imports as code, and what that imports, and
// replaces the formats in it. Any other error is left to the evaluation, which may
// never get there.
func (im *importer) prepare(vm *gojsonnet.VM, root ast.Node, seen map[string]bool) {
	switch n := root.(type) {
	case *ast.ImportStr: // read now: later nothing is, see Result.Sources
		_, _, _ = im.Import(n.Loc().FileName, n.File.Value)
		return
	case *ast.ImportBin:
		_, _, _ = im.Import(n.Loc().FileName, n.File.Value)
		return
	case *ast.Import:
		_, path, err := im.Import(n.Loc().FileName, n.File.Value)
		if err != nil || seen[path] {
			return
		}
		seen[path] = true
		if im.checkCode(path) != nil {
			return
		}
		if node, _, err := vm.ImportAST(n.Loc().FileName, n.File.Value); err == nil {
			im.prepare(vm, node, seen)
			rewriteBelow(node)
		}
		return
	}
	for _, child := range toolutils.Children(root) {
		im.prepare(vm, child, seen)
	}
}

// checkNesting is an [Error] at the place where text nests more than MaxNesting. What is not Jsonnet is left to the parser.
func checkNesting(path, text string) error {
	s := scanner{text: text, levels: []level{{}}}
	for s.pos < len(text) {
		s.token()
		if s.open > MaxNesting {
			before := text[:min(s.pos, len(text))]
			return &Error{
				File:   path,
				Line:   1 + strings.Count(before, "\n"),
				Column: len(before) - strings.LastIndexByte(before, '\n'),
				Text:   "nested too deeply",
			}
		}
	}
	return nil
}

// scanner counts the tokens that are open at a place.
type scanner struct {
	text   string
	pos    int
	open   int // the sum of levels' weights
	levels []level
}

// level is one pair of brackets, or the file.
type level struct {
	brace  bool // {}
	weight int  // of the tokens since the last comma that ended an expression
	locals int  // locals whose body has not begun: their commas end nothing
}

func (s *scanner) count(weight int) {
	s.levels[len(s.levels)-1].weight += weight
	s.open += weight
}

// token passes over one token, blank or comment.
func (s *scanner) token() {
	rest := s.text[s.pos:]
	switch c := rest[0]; {
	case c <= ' ':
		s.pos++
	case c == '#' || strings.HasPrefix(rest, "//"):
		s.skipTo("\n", 1)
	case strings.HasPrefix(rest, "/*"):
		s.skipTo("*/", 2)
	case strings.HasPrefix(rest, "|||"):
		s.count(weightPlain)
		s.textBlock()
	case c == '"' || c == '\'':
		s.count(weightPlain)
		s.quoted(c, '\\')
	case c == '@' && len(rest) > 1:
		s.count(weightPlain)
		s.pos++
		s.quoted(rest[1], rest[1])
	case isWord(c):
		s.word()
	default:
		s.pos++
		s.symbol(c)
	}
}

func isWord(c byte) bool {
	return c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

func (s *scanner) symbol(c byte) {
	at := &s.levels[len(s.levels)-1]
	switch c {
	case '{', '[', '(':
		s.count(weightBracket)
		s.levels = append(s.levels, level{brace: c == '{'})
	case '}', ']', ')':
		if len(s.levels) > 1 {
			s.open -= at.weight
			s.levels = s.levels[:len(s.levels)-1]
			s.count(weightPlain - weightBracket)
		}
	case ',':
		if at.locals > 0 {
			s.count(weightPlain)
			return
		}
		s.open -= at.weight
		at.weight = 0
	case ';':
		at.locals = max(0, at.locals-1)
		s.count(weightPlain)
	case '!', '-', '+', '~':
		s.count(weightSign)
		if s.pos > 1 && strings.IndexByte("!-+~", s.text[s.pos-2]) >= 0 {
			s.count(weightBracket - weightSign) // the lexer takes time by the square of such a run
		}
	default:
		s.count(weightPlain)
	}
}

// word passes over an identifier, keyword or number. A local at the start of an
// object's member ends at a comma, any other at a semicolon.
func (s *scanner) word() {
	start := s.pos
	for s.pos < len(s.text) && isWord(s.text[s.pos]) {
		s.pos++
	}
	at := &s.levels[len(s.levels)-1]
	switch s.text[start:s.pos] {
	case "local":
		if !at.brace || at.weight > 0 {
			at.locals++
		}
		s.count(weightKeyword)
	case "assert", "else", "error", "for", "function", "if", "then":
		s.count(weightKeyword)
	default:
		s.count(weightPlain)
	}
}

// skipTo passes over a comment: at least from bytes, up to and with end.
func (s *scanner) skipTo(end string, from int) {
	i := strings.Index(s.text[s.pos+from:], end)
	if i < 0 {
		s.pos = len(s.text)
		return
	}
	s.pos += from + i + len(end)
}

// quoted passes over a string: escape makes the byte after it an ordinary one,
// where it is the quote itself only if that byte is one too.
func (s *scanner) quoted(quote, escape byte) {
	for s.pos++; s.pos < len(s.text); s.pos++ {
		c := s.text[s.pos]
		doubled := s.pos+1 < len(s.text) && s.text[s.pos+1] == quote
		switch {
		case c == escape && (escape != quote || doubled):
			s.pos++
		case c == quote:
			s.pos++
			return
		}
	}
}

// textBlock passes over |||…|||: lines that begin as the first one that is not
// empty does, or are empty, up to one that does not.
func (s *scanner) textBlock() {
	s.skipTo("\n", 3)
	for s.pos < len(s.text) && s.text[s.pos] == '\n' {
		s.pos++
	}
	first := s.text[s.pos:]
	indent := first[:len(first)-len(strings.TrimLeft(first, " \t"))]
	if indent == "" {
		return // not a text block, the parser will say
	}
	for s.pos < len(s.text) {
		rest := s.text[s.pos:]
		if rest[0] != '\n' && !strings.HasPrefix(rest, indent) {
			s.pos += len(rest) - len(strings.TrimLeft(rest, " \t"))
			s.pos += min(3, len(s.text)-s.pos)
			return
		}
		s.skipTo("\n", 0)
	}
}
