package rule

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/expr-lang/expr/file"
)

// explain puts what the library says about a rule into the words of somebody who
// does not know Go. What it does not know it leaves as it is.
func explain(err error) error {
	var at *file.Error
	if !errors.As(err, &at) {
		return errors.New(plain(err.Error()))
	}
	return fmt.Errorf("at %d:%d: %s", at.Line, at.Column+1, plain(at.Message))
}

// phrase is a sentence of the library and how it is put.
type phrase struct {
	library *regexp.Regexp
	ours    func(parts []string) string
}

func phrases() []phrase {
	say := func(text string) func([]string) string { return func([]string) string { return text } }
	return []phrase{
		{regexp.MustCompile(`^unknown name (\S+)$`), func(p []string) string { return unknown(p[1], vocabulary()) }},
		{regexp.MustCompile(`^type rule\.Key has no (?:field|method) (\S+)$`), func(p []string) string {
			return unknown(p[1], tags(reflect.TypeFor[Key]()))
		}},
		{regexp.MustCompile(`^type (\S+) has no (?:field|method) (\S+)$`), func(p []string) string {
			return fmt.Sprintf("%s has no %q", kindOf(p[1]), p[2])
		}},
		{regexp.MustCompile(`^expected bool, but got (.+)$`), func(p []string) string {
			return "the rule gives " + kindOf(p[1]) + "; it must be true or false"
		}},
		{regexp.MustCompile(`^invalid operation: (.+) \(mismatched types (.+) and (.+)\)$`), func(p []string) string {
			return fmt.Sprintf("%s does not go with %s and %s", p[1], kindOf(p[2]), kindOf(p[3]))
		}},
		{regexp.MustCompile(`^invalid operation: (.+) \(mismatched type (.+)\)$`), func(p []string) string {
			return fmt.Sprintf("%s does not go with %s", p[1], kindOf(p[2]))
		}},
		{regexp.MustCompile(`^(.+) is not callable$`), say("this is not a function")},
		{regexp.MustCompile(`^unexpected (?:end of expression|token EOF)$`), say("the rule ends too early")},
		{regexp.MustCompile(`^unexpected token \w+\("(.*)"\)$`), func(p []string) string { return fmt.Sprintf("%q is not expected here", p[1]) }},
		{regexp.MustCompile(`exceeds maximum allowed nodes`), say("the rule is too large")},
	}
}

func plain(message string) string {
	for _, p := range phrases() {
		if parts := p.library.FindStringSubmatch(message); parts != nil {
			return p.ours(parts)
		}
	}
	return message
}

// kindOf names a type of Go for people.
func kindOf(t string) string {
	switch t {
	case "string":
		return "a text"
	case "bool":
		return "true or false"
	case "int", "float64", "integer":
		return "a number"
	case "time.Time":
		return "a time"
	case "time.Duration":
		return "a duration"
	case "rule.Key":
		return "a key"
	case "[]string", "[]interface {}", "array":
		return "a list"
	case "map[string]string", "map":
		return "a map"
	case "nil":
		return "nil"
	case "any", "interface {}", "unknown":
		return "something that may be anything"
	}
	return t
}

func unknown(word string, known []string) string {
	near, d := nearest(word, known)
	if d <= max(2, len(word)/3) {
		return fmt.Sprintf("unknown word %q; did you mean %s?", word, near)
	}
	return fmt.Sprintf("unknown word %q; the nearest known one is %s", word, near)
}

// failure is why a rule could not be evaluated, and where. The library's own
// texts are left out: they may hold a value.
func failure(err error) error {
	var at *file.Error
	if !errors.As(err, &at) {
		return errors.New("it cannot be evaluated")
	}
	why := "there is no value for this"
	switch {
	case errors.Is(err, errAddr), errors.Is(err, errNet):
		why = at.Prev.Error()
	case at.Message == budgetExceeded:
		why = "it makes lists that are too long"
	}
	return fmt.Errorf("at %d:%d: %s", at.Line, at.Column+1, why)
}

// budgetExceeded is the library's word for it; there is no error to compare with.
const budgetExceeded = "memory budget exceeded"

// nearest is the known word that differs least, without regard to case, and by
// how much.
func nearest(word string, known []string) (best string, least int) {
	least = -1
	for _, k := range known {
		if d := distance(strings.ToLower(word), strings.ToLower(k)); least < 0 || d < least {
			best, least = k, d
		}
	}
	return best, least
}

// distance counts the insertions, deletions and changes between two words, by
// bytes. Long ones are compared by their beginning.
func distance(a, b string) int {
	const longest = 32
	a, b = a[:min(len(a), longest)], b[:min(len(b), longest)]
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		left := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := left
			if a[i] != b[j] {
				change++
			}
			left = row[j+1]
			row[j+1] = min(change, row[j]+1, left+1)
		}
	}
	return row[len(b)]
}
