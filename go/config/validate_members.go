package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode"

	"etcha/go/rule"
	"etcha/go/shellwords"
	"etcha/go/wire"
)

// maxName bounds the names of sources and processes, bytes: they stand in routes
// and in names of files.
const maxName = 128

// Bounds of a session's window. A smaller one would fill up before the client
// acknowledges anything.
const (
	minWindow = wire.AckEvery
	maxWindow = wire.MaxWindow
)

func (v *validator) source(name string) {
	s := v.c.Sources[name]
	at := []string{"sources", name}
	v.add(memberName(name), at...)
	v.keys(s.VerifyKeys, "sources", name, "verifyKeys")
	v.add(regular(s.EventsSend), "sources", name, "eventsSend")
	for i, p := range s.WebhookPaths {
		v.add(webhookPath(p), "sources", name, "webhookPaths", index(i))
	}
	for i, p := range s.PullPaths {
		if p.Path == "" {
			v.missing(errors.New("a path is needed"), "path", "sources", name, "pullPaths", index(i))
		}
	}
	for _, service := range slices.Sorted(maps.Keys(s.Services)) {
		at := []string{"sources", name, "services", service}
		if s.Services[service].URL == "" {
			v.missing(errors.New("a URL is needed"), "url", at...)
		} else {
			v.add(serviceURL(s.Services[service].URL), below(at, "url")...)
		}
	}
	_, err := mergeLevels(v.c.scriptLevels(name))
	v.execError(err)
	if s.Shell != nil {
		v.shell(name, s.Shell)
		v.chain(name, "")
	} else if len(s.Processes) > 0 {
		v.add(errors.New("no process can be opened without a shell; set shell too"), "sources", name, "processes")
	}
	for _, process := range slices.Sorted(maps.Keys(s.Processes)) {
		v.add(memberName(process), "sources", name, "processes", process)
		if s.Shell != nil {
			v.chain(name, process)
		}
	}
}

func (v *validator) shell(name string, s *Shell) {
	at := func(key string) []string { return []string{"sources", name, "shell", key} }
	for i, pattern := range s.AcceptEnv {
		v.add(envPattern(pattern), below(at("acceptEnv"), index(i))...)
	}
	v.add(oneOf(s.Detached, "block", "discard"), at("detached")...)
	v.add(oneOf(s.Obscure, "chaff", "interval", "off"), at("obscure")...)
	v.add(oneOf(s.Record, "off", "output", "full"), at("record")...)
	if s.Window < minWindow || s.Window > maxWindow {
		v.add(fmt.Errorf("must be from %s to %s", Size(minWindow), Size(maxWindow)), at("window")...)
	}
	if s.Scrollback > maxWindow {
		v.add(fmt.Errorf("must be at most %s", Size(maxWindow)), at("scrollback")...)
	}
	if s.Umask != nil && *s.Umask > 0o777 {
		v.add(errors.New(`must be at most "0777"`), at("umask")...)
	}
	v.policy(s, at)
}

// policy checks who may open a shell and what must be kept of it.
func (v *validator) policy(s *Shell, at func(key string) []string) {
	v.add(ruleText(s.Rule), at("rule")...)
	v.add(ruleText(s.Share), at("share")...)
	if s.Require > wire.MaxApprovals {
		v.add(fmt.Errorf("must be at most %d", wire.MaxApprovals), at("require")...)
	}
	if s.RecordRequired && s.Record == "off" {
		v.add(errors.New(`nothing is recorded; set record to "output" or "full" too`), at("recordRequired")...)
	}
}

// ruleText checks a rule; empty: none.
func ruleText(s string) error {
	if s == "" {
		return nil
	}
	_, err := rule.Compile(s)
	return err
}

// chain reports why a shell or process could not be started as configured.
func (v *validator) chain(source, process string) {
	_, _, err := v.c.ExecFor(source, process)
	v.execError(err)
}

func (v *validator) execError(err error) {
	var at *execError
	switch {
	case !errors.As(err, &at):
	case at.lacks != "":
		v.missing(at.err, at.lacks, at.path...)
	default:
		v.add(at.err, at.path...)
	}
}

// execs checks every exec in the tree, whatever it is for.
func (v *validator) execs() {
	v.eachExec(v.l.root, v.l.tree, nil)
}

func (v *validator) eachExec(n *node, value any, at []string) {
	m := members(value)
	if n.kind == kindObject && (n.name == "exec" || n.name == "shell") {
		command, _ := m["command"].(string)
		_, err := shellwords.Split(command)
		v.add(err, below(at, "command")...)
		for _, name := range slices.Sorted(maps.Keys(members(m["env"]))) {
			if strings.Contains(name, "=") {
				v.add(errors.New("a variable's name must not have an equals sign"), below(below(at, "env"), name)...)
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if child, ok := n.child(key); ok && n.kind != kindAny {
			v.eachExec(child, m[key], below(at, key))
		}
	}
}

func (v *validator) target(name string) {
	t := v.c.Targets[name]
	at := func(key string) []string { return []string{"targets", name, key} }
	if t.Hostname == "" || strings.ContainsFunc(t.Hostname, notInHost) {
		err := errors.New("not a host name or address; the port and the path have keys of their own")
		if v.l.origin(at("hostname")).Kind == FromDefault {
			v.add(fmt.Errorf("hostname, which is the name: %w", err), "targets", name)
		} else {
			v.add(err, at("hostname")...)
		}
	}
	if t.Port < 1 || t.Port > 65535 {
		v.add(errors.New("must be from 1 to 65535"), at("port")...)
	}
	v.add(nodeID(t.NodeID), at("nodeID")...)
	v.add(route(t.Path), at("path")...)
	v.add(route(t.PathPush), at("pathPush")...)
	v.add(route(t.PathShell), at("pathShell")...)
	v.add(v.via(name), at("via")...)
}

// via follows a target's way through other targets to its end.
func (v *validator) via(name string) error {
	seen := map[string]bool{name: true}
	for via := v.c.Targets[name].Via; via != ""; {
		next, ok := v.c.Targets[via]
		switch {
		case !ok && strings.Contains(via, "://"):
			return proxyURL(via)
		case !ok:
			return fmt.Errorf("%q is neither a target nor the URL of a proxy", via)
		case seen[via]:
			return fmt.Errorf("leads back to %q", via)
		}
		seen[via] = true
		via = next.Via
	}
	return nil
}

// memberName checks the name of a source or process.
func memberName(s string) error {
	switch {
	case s == "." || s == ".." || strings.ContainsAny(s, `/\`):
		return errors.New(`a name must not be "." or "..", nor have a slash or backslash`)
	case len(s) > maxName:
		return fmt.Errorf("a name must not be longer than %d bytes", maxName)
	}
	return nil
}

// webhookPath checks a path that other programs may call.
func webhookPath(s string) error {
	switch {
	case !strings.HasPrefix(s, "/") || s != "/" && path.Clean(s) != strings.TrimSuffix(s, "/"):
		return fmt.Errorf("%q is not a clean path that begins with a slash", s)
	case strings.ContainsAny(s, "?#%"):
		return errors.New("a path has no query, fragment or escapes")
	case s == "/etcha" || strings.HasPrefix(s, "/etcha/"):
		return errors.New("paths under /etcha/ are the program's own")
	}
	return nil
}

// route checks a path that is put before or in place of a route; empty: none.
func route(s string) error {
	if s != "" && (!strings.HasPrefix(s, "/") || strings.ContainsAny(s, "?#") || strings.ContainsFunc(s, unicode.IsControl)) {
		return errors.New("a path that begins with a slash is needed, without query and fragment")
	}
	return nil
}

// notInHost tells what a host name, an IPv4 or an IPv6 address never has.
func notInHost(r rune) bool {
	return r <= ' ' || r == 0x7f || strings.ContainsRune(`/\?#@"'<>`, r)
}

// envPattern checks a pattern of variables' names.
func envPattern(s string) error {
	word := func(r rune) bool {
		return r == '_' || r == '*' || r == '?' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
	}
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return !word(r) }) {
		return fmt.Errorf("%q is not a variable's name, with * and ? as wildcards", s)
	}
	return nil
}

// nodeID checks the form that wire's documentation gives; empty: none.
func nodeID(s string) error {
	sum, ok := strings.CutPrefix(s, "SHA256:")
	raw, err := base64.RawStdEncoding.Strict().DecodeString(sum)
	if s == "" || ok && err == nil && len(raw) == 32 {
		return nil
	}
	return errors.New(`not a node ID: write it as "SHA256:" and 43 characters, as the node prints it`)
}

// serviceURL checks that a service has a URL; it is never part of the error.
func serviceURL(s Secret) error {
	u, err := url.Parse(s.Reveal())
	if err != nil || u.Scheme == "" || u.Host == "" && u.Path == "" {
		return errors.New("not a URL such as postgres://user@host/name")
	}
	return nil
}
