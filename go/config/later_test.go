package config

import (
	"strings"
	"testing"
)

// Every row of the table refuses, names its key, and lets the harmless value pass.
func TestNotYet(t *testing.T) {
	values := map[string][2]string{ // used, harmless
		"verifyCommands": {"[{}]", "[]"},
		"sudo":           {"true", "false"},
	}
	for _, row := range notYet() {
		path := strings.ReplaceAll(row.path, "*", "n")
		keys := strings.Split(path, ".")
		last := keys[len(keys)-1]
		value, ok := values[last]
		if !ok {
			value = [2]string{"'x'", "''"}
		}
		text := func(value string) string {
			shell := ""
			if strings.Contains(path, ".shell.") || strings.Contains(path, ".processes.") {
				shell = " + { sources+: { n+: { shell+: { command: 'sh' }, processes+: { n+: { command: 'sh' } } } } }"
			}
			return "{ " + strings.Join(keys, "+: { ") + ": " + value + strings.Repeat(" }", len(keys)) + shell
		}
		t.Run(row.path, func(t *testing.T) {
			expect(t, options(t, text(value[0])), []string{"FILE:1: " + path + ": not supported by this version: " + row.what})
			expect(t, options(t, text(value[1])), nil)
		})
	}
}

// TestPolicyLoads: what this version can do is not in the way of a configuration.
func TestPolicyLoads(t *testing.T) {
	expect(t, options(t, `{
  run: {
    audit: { maxSize: '0' },
    recordings: { dir: 'recordings', format: 'v2', maxAge: '0s', maxSessionSize: '1MiB', maxSize: 0 },
    ship: { journald: true, required: true, syslog: 'tls://host:6514?ca=/etc/ca.pem', s3: { endpoint: 'http://127.0.0.1:9000/', bucket: 'b', region: 'x', prefix: 'p', caFile: 'ca.pem' } },
  },
  sources: { a: { shell: {
    command: 'sh', rule: 'inCIDR(addr, "10.0.0.0/8") && hour() in 8..17', share: 'op == "list" || own', require: 8,
    record: 'full', recordRequired: true, obscure: 'interval', detachFor: '12h',
  } } },
}`), nil)
}

// What later capabilities need loads, where passing over it is safe.
func TestLaterCapabilitiesLoad(t *testing.T) {
	expect(t, options(t, `{
  build: { signingCommands: [{ id: 'x' }], signingExec: { user: 'x' } },
  lint: { exclude: 'x' },
  sources: { a: {
    allowPush: true, checkOnly: true, commands: [[{ id: 'x' }]], eventsReceive: 'x', eventsSend: 'x', noRemove: true, noRestore: true,
    pullIgnoreVersion: true, pullPaths: 'x', runFrequency: '1m', runMulti: true, triggerOnly: true, webhookPaths: '/x',
    shell: { command: 'sh', detachFor: '1h', detached: 'discard', keep: true },
  } },
  targets: { a: { sourcePatterns: { core: 'x.jsonnet' }, vars: { a: 1 }, labels: { a: 'b' } } },
}`), nil)
}
