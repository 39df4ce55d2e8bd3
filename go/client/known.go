package client

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// Limits of the file of known nodes.
const (
	maxKnownFile = 16 << 20 // bytes; what is larger is refused
	maxKnownLine = 4 << 10  // bytes; what is longer is refused
	maxTarget    = 1 << 10  // bytes of a target's name
)

// KnownNode is one line of the file of known nodes.
type KnownNode struct {
	Target string
	ID     string // node ID
	TLSKey string // of the certificate met at first use, where only first use vouches for it; else empty
	Line   int    // in the file, from 1; not written
}

// knownFile is the file in memory: lines as they stand, some of which are nodes.
type knownFile struct {
	lines []knownLine
}

type knownLine struct {
	text string
	node KnownNode // with a Target where the line is a node
}

var (
	errKnownTarget = errors.New("a target's name must be printable text without spaces that does not start with #")
	errKnownID     = errors.New("a node ID is SHA256: and 43 characters of base64")
)

// parseKnown reads the text of a file of known nodes: one node a line, "target
// nodeID [tls=SHA256:…]", comments behind # at the line's start, empty lines.
// Fields of the form name=value that it does not know are kept.
func parseKnown(file string, text []byte) (*knownFile, error) {
	if len(text) > maxKnownFile {
		return nil, fmt.Errorf("%s: larger than %d bytes", file, maxKnownFile)
	}
	k := &knownFile{}
	seen := make(map[string]int)
	for n := 1; len(text) > 0; n++ {
		line, rest, _ := bytes.Cut(text, []byte("\n"))
		text = rest
		node, err := parseKnownLine(string(line))
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		if node.Target != "" {
			if first, ok := seen[node.Target]; ok {
				return nil, fmt.Errorf("%s:%d: target %s stands in line %d already", file, n, node.Target, first)
			}
			seen[node.Target] = n
			node.Line = n
		}
		k.lines = append(k.lines, knownLine{strings.TrimSuffix(string(line), "\r"), node})
	}
	return k, nil
}

func parseKnownLine(line string) (KnownNode, error) {
	if len(line) > maxKnownLine {
		return KnownNode{}, fmt.Errorf("longer than %d bytes", maxKnownLine)
	}
	fields := strings.Fields(line)
	if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
		return KnownNode{}, nil
	}
	if len(fields) < 2 {
		return KnownNode{}, errors.New("a line is: target nodeID [tls=SHA256:…]")
	}
	node := KnownNode{Target: fields[0], ID: fields[1]}
	if !validTarget(node.Target) {
		return KnownNode{}, errKnownTarget
	}
	if !validID(node.ID) {
		return KnownNode{}, errKnownID
	}
	for _, f := range fields[2:] {
		name, value, ok := strings.Cut(f, "=")
		if !ok || name == "" {
			return KnownNode{}, errors.New("after the node ID only name=value may stand")
		}
		if name == "tls" {
			if node.TLSKey != "" || !validID(value) {
				return KnownNode{}, errors.New("tls= is SHA256: and 43 characters of base64, once")
			}
			node.TLSKey = value
		}
	}
	return node, nil
}

// find is the node of a target.
func (k *knownFile) find(target string) (KnownNode, bool) {
	for _, l := range k.lines {
		if l.node.Target == target {
			return l.node, true
		}
	}
	return KnownNode{}, false
}

// put replaces the line of the node's target or appends one, and returns its number.
func (k *knownFile) put(n KnownNode) int {
	text := n.Target + " " + n.ID
	if n.TLSKey != "" {
		text += " tls=" + n.TLSKey
	}
	for i, l := range k.lines {
		if l.node.Target == n.Target {
			k.lines[i] = knownLine{text, n}
			return i + 1
		}
	}
	k.lines = append(k.lines, knownLine{text, n})
	return len(k.lines)
}

// remove takes the line of a target out.
func (k *knownFile) remove(target string) bool {
	for i, l := range k.lines {
		if l.node.Target == target {
			k.lines = append(k.lines[:i], k.lines[i+1:]...)
			return true
		}
	}
	return false
}

func (k *knownFile) text() []byte {
	var b bytes.Buffer
	for _, l := range k.lines {
		b.WriteString(l.text)
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// validTarget reports whether a name can stand in the file.
func validTarget(s string) bool {
	if s == "" || len(s) > maxTarget || s[0] == '#' {
		return false
	}
	return printable(s, maxTarget) == s && strings.IndexFunc(s, isSpace) < 0
}

func isSpace(r rune) bool { return len(strings.Fields(string(r))) == 0 }

// validID reports whether s has the form of a node ID.
func validID(s string) bool {
	b64, ok := strings.CutPrefix(s, "SHA256:")
	if !ok || len(b64) != base64.RawStdEncoding.EncodedLen(32) {
		return false
	}
	_, err := base64.RawStdEncoding.Strict().DecodeString(b64)
	return err == nil && !strings.ContainsAny(b64, "\r\n")
}
