package config

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
)

// pad stands for a node ID of the right form.
const someNodeID = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

const notSyslog = "not a syslog server: write udp://host:514, tcp://host:port, tls://host:6514 or unix:///dev/log"

// Every row is a file and all that is wrong with it; FILE stands for its path.
func TestFileProblems(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"not an object", "\n[1]", []string{"FILE: a configuration is an object, not a list"}},
		{"syntax", "{\n a: 1\n b: 2 }", []string{"FILE:3: Expected a comma before next field"}},
		{"evaluation", "{\n cli: { logLevel: error 'no' } }", []string{"FILE:2: no"}},
		{"unknown at the top", "{\n souces: {},\n}", []string{"FILE:2: souces: unknown key; did you mean sources?"}},
		{"unknown below", "{ run: {\n statedir: 'x' } }", []string{"FILE:2: run.statedir: unknown key; did you mean run.stateDir?"}},
		{"unknown elsewhere", "{ logLevel: 'x' }", []string{"FILE:1: logLevel: unknown key; did you mean cli.logLevel?"}},
		{"unknown far", "{ sources: { a: {\n xyzzy: 1 } } }", []string{"FILE:2: sources.a.xyzzy: unknown key; the nearest known one is sources.a.exec"}},
		{"unknown in a map", "{ targets: {\n 'server1.example.com': {\n prot: 1 } } }", []string{`FILE:3: targets."server1.example.com".prot: unknown key; did you mean targets."server1.example.com".port?`}},
		{"unknown in a list", "{ sources: { a: { pullPaths: [\n 'x',\n { pth: 'y', path: 'z' } ] } } }", []string{"FILE:3: sources.a.pullPaths[1].pth: unknown key; did you mean sources.a.pullPaths[1].path?"}},
		{"upstream's", "{ licenseKey: 'x' }", []string{"FILE:1: licenseKey: this program has no such key: there is no licence, and nothing is held back; leave it out"}},
		{"unknown JSON key", `{"cli": {"noColour": true}}`, []string{"FILE:1: cli.noColour: unknown key; did you mean cli.noColor?"}},
		{"empty key", "{ sources: { '': {} } }", []string{`FILE:1: sources."": a key must not be empty`}},
		{"control character", `{ vars: { "a\u001fb": 1 } }`, []string{`FILE:1: vars."a\x1fb": a key must not have control characters`}},

		{"string", "{ cli: { logLevel: 1 } }", []string{"FILE:1: cli.logLevel: a string is needed, not a number"}},
		{"secret", "{ build: { signingKey: ['canary'] } }", []string{"FILE:1: build.signingKey: a string is needed, not a list"}},
		{"bool", "{ cli: { noColor: 'true' } }", []string{"FILE:1: cli.noColor: true or false is needed, not a string"}},
		{"int", "{ run: { maxSessions: '5' } }", []string{"FILE:1: run.maxSessions: a whole number is needed, not a string"}},
		{"fraction", "{ run: { maxSessions: 1.5 } }", []string{"FILE:1: run.maxSessions: a whole number is needed"}},
		{"negative int", "{ run: { maxSessions: -1 } }", []string{"FILE:1: run.maxSessions: must not be negative"}},
		{"duration number", "{ run: { timeoutPush: 90 } }", []string{`FILE:1: run.timeoutPush: a duration is a string: write "90s" for seconds`}},
		{"duration without unit", "{ run: { timeoutPush: '90' } }", []string{`FILE:1: run.timeoutPush: a duration needs a unit: write "90s" for seconds`}},
		{"duration", "{ run: { timeoutPush: 'soon' } }", []string{`FILE:1: run.timeoutPush: not a duration: write a number with a unit, such as "90s", "10m" or "1h30m"`}},
		{"negative duration", "{ run: { timeoutPush: '-1s' } }", []string{"FILE:1: run.timeoutPush: must not be negative"}},
		{"duration list", "{ run: { timeoutPush: [] } }", []string{`FILE:1: run.timeoutPush: a duration such as "90s" is needed, not a list`}},
		{"size", "{ sources: { a: { shell: { command: 'x', window: '1MB' } } } }", []string{`FILE:1: sources.a.shell.window: not a size: write bytes, or a whole number with KiB, MiB, GiB or TiB, such as "1MiB"`}},
		{"mode number", "{ sources: { a: { shell: { command: 'x', umask: 22 } } } }", []string{`FILE:1: sources.a.shell.umask: not a file mode: write octal digits as a string, such as "022"`}},
		{"mode", "{ sources: { a: { shell: { command: 'x', umask: '088' } } } }", []string{`FILE:1: sources.a.shell.umask: not a file mode: write octal digits as a string, such as "022"`}},
		{"list", "{ run: { verifyKeys: { a: 1 } } }", []string{"FILE:1: run.verifyKeys: a list or a string is needed, not an object"}},
		{"list of what", "{ run: { verifyKeys: [\n 'a',\n 1, null ] } }", []string{"FILE:3: run.verifyKeys[1]: a string is needed, not a number", "FILE:3: run.verifyKeys[2]: must not be null"}},
		{"commands", "{ sources: { a: { commands: 'x' } } }", []string{"FILE:1: sources.a.commands: a list is needed, not a string"}},
		{"object", "{ cli: 'x' }", []string{"FILE:1: cli: an object is needed, not a string"}},
		{"short form", "{ sources: { a: { shell: true } } }", []string{"FILE:1: sources.a.shell: an object or a string is needed, not true or false"}},
		{"map", "{ sources: [] }", []string{"FILE:1: sources: an object is needed, not a list"}},

		{"log", "{ cli: { logFormat: 'xml', logLevel: 'loud' } }", []string{`FILE:1: cli.logFormat: "xml" is not one of human, kv, json`, `FILE:1: cli.logLevel: "loud" is not one of debug, info, warn, error, none`}},
		{"macro", "{ cli: { macros: { m: { usage: 'x' } } } }", []string{"FILE:1: cli.macros.m: a template is needed"}},
		{"lint", "{ lint: { exclude: '(' } }", []string{"FILE:1: lint.exclude: error parsing regexp: missing closing ): `(`"}},
		{"trust", "{ httpClient: { trust: 'all' } }", []string{`FILE:1: httpClient.trust: "all" is not one of pin, ca`}},
		{"proxy", "{ httpClient: { proxy: 'ftp://u:canary@h' } }", []string{"FILE:1: httpClient.proxy: not a proxy: write a URL such as http://proxy:3128, https, socks5 or socks5h"}},
		{"client key alone", "{ httpClient: { key: 'canary' } }", []string{"FILE:1: httpClient.key: httpClient.certificate is needed too"}},
		{"client certificate alone", "{ httpClient: { certificate: 'x' } }", []string{"FILE:1: httpClient.certificate: httpClient.key is needed too"}},
		{"nobody to trust", "{ httpClient: { trust: 'ca', noSystemCA: true } }", []string{"FILE:1: httpClient.noSystemCA: no authority is left to trust; set httpClient.caFile"}},
		{"listen", "{ httpServer: { listenAddress: '4000' } }", []string{`FILE:1: httpServer.listenAddress: "4000" is not host:port, such as ":4000" or "127.0.0.1:4000"`}},
		{"listen port", "{ httpServer: { listenAddress: ':70000' } }", []string{`FILE:1: httpServer.listenAddress: ":70000" is not host:port, such as ":4000" or "127.0.0.1:4000"`}},
		{"rate", "{ httpServer: { rateLimit: '0/s' } }", []string{`FILE:1: httpServer.rateLimit: not a rate: write a number per s, m or h, such as "10/s" or "300/m", or "off"`}},
		{"proxies", "{ httpServer: { trustedProxies: ['10.0.0.0/8', '::1', 'proxy'] } }", []string{`FILE:1: httpServer.trustedProxies[2]: "proxy" is neither an address nor a network such as 10.0.0.0/8`}},
		{"server key alone", "{ httpServer: { tlsKey: 'canary' } }", []string{"FILE:1: httpServer.tlsKey: httpServer.tlsCertificate is needed too"}},
		{"server certificate alone", "{ httpServer: { tlsCertificate: 'x' } }", []string{"FILE:1: httpServer.tlsCertificate: httpServer.tlsKey is needed too"}},
		{"client CA without TLS", "{ httpServer: { clientCAFile: 'x', disableTLS: true } }", []string{"FILE:1: httpServer.clientCAFile: client certificates cannot be checked with httpServer.disableTLS"}},
		{"limits", "{ run: { maxSessions: 0, maxSessionsPerKey: 0, stateDir: '' } }", []string{"FILE:1: run.maxSessions: must be at least 1", "FILE:1: run.maxSessionsPerKey: must be at least 1", "FILE:1: run.stateDir: no home folder is known to keep state in; set it"}},

		{"source name", "{ sources: { 'a/b': {}, '..': {}, 'a\\\\b': {} } }", []string{
			`FILE:1: sources.".."` + `: a name must not be "." or "..", nor have a slash or backslash`,
			`FILE:1: sources."a/b": a name must not be "." or "..", nor have a slash or backslash`,
			`FILE:1: sources."a\\b": a name must not be "." or "..", nor have a slash or backslash`,
		}},
		{"long name", "{ sources: { " + strings.Repeat("a", 129) + ": {} } }", []string{"FILE:1: sources." + strings.Repeat("a", 129) + ": a name must not be longer than 128 bytes"}},
		{"events", "{ sources: { a: { eventsSend: '[' } } }", []string{"FILE:1: sources.a.eventsSend: error parsing regexp: missing closing ]: `[`"}},
		{"webhooks", "{ sources: { a: { webhookPaths: ['/ok', 'x', '/etcha/v1', '/a/../etcha/x', '//etcha', '/etcha', '/%65tcha/', '/ok/'] } } }", []string{
			`FILE:1: sources.a.webhookPaths[1]: "x" is not a clean path that begins with a slash`,
			`FILE:1: sources.a.webhookPaths[2]: paths under /etcha/ are the program's own`,
			`FILE:1: sources.a.webhookPaths[3]: "/a/../etcha/x" is not a clean path that begins with a slash`,
			`FILE:1: sources.a.webhookPaths[4]: "//etcha" is not a clean path that begins with a slash`,
			`FILE:1: sources.a.webhookPaths[5]: paths under /etcha/ are the program's own`,
			`FILE:1: sources.a.webhookPaths[6]: a path has no query, fragment or escapes`,
		}},
		{"pull path", "{ sources: { a: { pullPaths: [{ skipVerify: true }] } } }", []string{"FILE:1: sources.a.pullPaths[0]: a path is needed"}},
		{"service", "{ sources: { a: { services: { db: { url: '://canary' }, no: {} } } } }", []string{
			"FILE:1: sources.a.services.db.url: not a URL such as postgres://user@host/name",
			"FILE:1: sources.a.services.no: a URL is needed",
		}},
		{"processes without a shell", "{ sources: { a: { processes: { p: 'top' } } } }", []string{"FILE:1: sources.a.processes: no process can be opened without a shell; set shell too"}},
		{"shell without a command", "{ sources: { a: { shell: { idleTimeout: '1m' } } } }", []string{`FILE:1: sources.a.shell: which program? write "command": "/bin/bash", or the command in place of the object`}},
		{"blank command", "{ sources: { a: { shell: ' ' } } }", []string{`FILE:1: sources.a.shell: which program? write "command": "/bin/bash", or the command in place of the object`}},
		{"open quote", "{ sources: { a: { shell: \"sh 'x\" } } }", []string{"FILE:1: sources.a.shell.command: a quote is not closed"}},
		{"open quote anywhere", "{ exec: { command: 'x\"' }, run: { verifyExec: { command: 'y\"' } } }", []string{"FILE:1: exec.command: a quote is not closed", "FILE:1: run.verifyExec.command: a quote is not closed"}},
		{"env", "{ exec: { env: { 'a=b': 'canary' } } }", []string{`FILE:1: exec.env."a=b": a variable's name must not have an equals sign`}},
		{"process", "{ sources: { a: { shell: 'sh', processes: { 'p/q': 'x', r: {} } } } }", []string{
			`FILE:1: sources.a.processes."p/q": a name must not be "." or "..", nor have a slash or backslash`,
			`FILE:1: sources.a.processes.r: which program? write "command": "/bin/bash", or the command in place of the object`,
		}},
		{"override forbidden at the top", "{ exec: { allowOverride: false },\n sources: { a: { exec: {\n user: 'x' }, shell: 'sh' } } }", []string{"FILE:3: sources.a.exec.user: exec.allowOverride does not permit to set it here"}},
		{"override forbidden by the source", "{ sources: { a: { exec: { allowOverride: false },\n shell: { command: 'sh', user: 'x' },\n processes: { p: { command: 'top', group: 'y' }, q: 'top' } } } }", []string{
			"FILE:2: sources.a.shell.user: sources.a.exec.allowOverride does not permit to set it here",
			"FILE:3: sources.a.processes.p.group: sources.a.exec.allowOverride does not permit to set it here",
		}},
		{"shell", "{ sources: { a: { shell: { command: 'sh', detached: 'x', obscure: 'x', record: 'x', umask: '1777', window: 1, scrollback: '65MiB', acceptEnv: ['LC_*', '', 'A=B', '[A]'] } } } }", []string{
			`FILE:1: sources.a.shell.acceptEnv[1]: "" is not a variable's name, with * and ? as wildcards`,
			`FILE:1: sources.a.shell.acceptEnv[2]: "A=B" is not a variable's name, with * and ? as wildcards`,
			`FILE:1: sources.a.shell.acceptEnv[3]: "[A]" is not a variable's name, with * and ? as wildcards`,
			`FILE:1: sources.a.shell.detached: "x" is not one of block, discard`,
			`FILE:1: sources.a.shell.obscure: "x" is not one of chaff, interval, off`,
			`FILE:1: sources.a.shell.record: "x" is not one of off, output, full`,
			`FILE:1: sources.a.shell.window: must be from 64KiB to 64MiB`,
			`FILE:1: sources.a.shell.scrollback: must be at most 64MiB`,
			`FILE:1: sources.a.shell.umask: must be at most "0777"`,
		}},
		{"policy", "{ sources: { a: { shell: { command: 'sh',\n rule: 'kye.id == \"x\"',\n share: 'op',\n require: 9,\n recordRequired: true } } } }", []string{
			`FILE:2: sources.a.shell.rule: at 1:1: unknown word "kye"; did you mean key?`,
			`FILE:3: sources.a.shell.share: the rule gives a text; it must be true or false`,
			"FILE:4: sources.a.shell.require: must be at most 8",
			`FILE:5: sources.a.shell.recordRequired: nothing is recorded; set record to "output" or "full" too`,
		}},
		{"less than nothing", "{ sources: { a: { shell: { command: 'sh',\n require: -1,\n detachFor: '-1h' } } } }", []string{
			"FILE:2: sources.a.shell.require: must not be negative",
			"FILE:3: sources.a.shell.detachFor: must not be negative",
		}},
		{"recordings and audit", "{ run: { recordings: { format: 'v1',\n maxAge: '-1h',\n maxSize: -1 },\n audit: { maxSize: 'x' } } }", []string{
			`FILE:1: run.recordings.format: "v1" is not one of v3, v2`,
			"FILE:2: run.recordings.maxAge: must not be negative",
			`FILE:3: run.recordings.maxSize: not a size: write bytes, or a whole number with KiB, MiB, GiB or TiB, such as "1MiB"`,
			`FILE:4: run.audit.maxSize: not a size: write bytes, or a whole number with KiB, MiB, GiB or TiB, such as "1MiB"`,
		}},
		{"ship to nowhere", "{ run: { ship: { required: true } } }", []string{"FILE:1: run.ship.required: nothing is sent anywhere; set journald, syslog or s3 too"}},
		{"syslog", "{ run: { ship: { syslog: 'host:514' } } }", []string{"FILE:1: run.ship.syslog: " + notSyslog}},
		{"syslog with another option", "{ run: { ship: { syslog: 'tls://host:1?ca=/x&y=1' } } }", []string{"FILE:1: run.ship.syslog: " + notSyslog}},
		{"syslog without a port", "{ run: { ship: { syslog: 'udp://host' } } }", []string{"FILE:1: run.ship.syslog: " + notSyslog}},
		{"syslog at a host's socket", "{ run: { ship: { syslog: 'unix://host/dev/log' } } }", []string{"FILE:1: run.ship.syslog: " + notSyslog}},
		{"syslog with a password", "{ run: { ship: { syslog: 'tls://u:canary@host:1' } } }", []string{"FILE:1: run.ship.syslog: " + notSyslog}},
		{"half a store", "{ run: { ship: { s3: { region: 'x' } } } }", []string{
			"FILE:1: run.ship.s3: an endpoint is needed",
			"FILE:1: run.ship.s3: a bucket is needed",
		}},
		{"a store", "{ run: { ship: { s3: { endpoint: 's3.example.com',\n bucket: 'b',\n accessKey: 'canary' } } } }", []string{
			"FILE:1: run.ship.s3.endpoint: not the URL of a store: write one such as https://s3.example.com",
			"FILE:3: run.ship.s3.accessKey: secretKey is needed too",
		}},
		{"a store with more", "{ run: { ship: { s3: { endpoint: 'https://u:canary@h/b',\n bucket: 'b',\n secretKey: 'canary' } } } }", []string{
			"FILE:1: run.ship.s3.endpoint: only scheme, host and port; bucket, prefix and keys have settings of their own",
			"FILE:3: run.ship.s3.secretKey: accessKey is needed too",
		}},
		{"target", "{ targets: { a: { hostname: 'h/x', port: 0, nodeID: 'x', path: 'x', pathPush: '/a?b', pathShell: 'c#d' } } }", []string{
			"FILE:1: targets.a.hostname: not a host name or address; the port and the path have keys of their own",
			"FILE:1: targets.a.port: must be from 1 to 65535",
			`FILE:1: targets.a.nodeID: not a node ID: write it as "SHA256:" and 43 characters, as the node prints it`,
			"FILE:1: targets.a.path: a path that begins with a slash is needed, without query and fragment",
			"FILE:1: targets.a.pathPush: a path that begins with a slash is needed, without query and fragment",
			"FILE:1: targets.a.pathShell: a path that begins with a slash is needed, without query and fragment",
		}},
		{"target's name", "{ targets: { 'a b': {} } }", []string{`FILE:1: targets."a b": hostname, which is the name: not a host name or address; the port and the path have keys of their own`}},
		{"via", "{ targets: { a: { via: 'b' }, b: { via: 'c' }, c: { via: 'a' }, d: { via: 'x' }, e: { via: 'f' }, f: { via: 'http://' } } }", []string{
			`FILE:1: targets.a.via: leads back to "a"`,
			`FILE:1: targets.b.via: leads back to "b"`,
			`FILE:1: targets.c.via: leads back to "c"`,
			`FILE:1: targets.d.via: "x" is neither a target nor the URL of a proxy`,
			`FILE:1: targets.e.via: not a proxy: write a URL such as http://proxy:3128, https, socks5 or socks5h`,
			`FILE:1: targets.f.via: not a proxy: write a URL such as http://proxy:3128, https, socks5 or socks5h`,
		}},
		{"everything at once", "{\n cli: { logLevel: 'loud',\n noColour: true },\n run: { timeoutPush: 5 } }", []string{
			`FILE:2: cli.logLevel: "loud" is not one of debug, info, warn, error, none`,
			"FILE:3: cli.noColour: unknown key; did you mean cli.noColor?",
			`FILE:4: run.timeoutPush: a duration is a string: write "5s" for seconds`,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options(t, c.text)
			expect(t, o, c.want)
		})
	}
}

func expect(t *testing.T, o LoadOptions, want []string) {
	t.Helper()
	_, err := Load(context.Background(), o)
	file := filepath.Join(o.Dir, FileName)
	var got []string
	for _, p := range Problems(err) {
		got = append(got, strings.ReplaceAll(p.Error(), file, "FILE"))
		if strings.Contains(p.Error(), "canary") {
			t.Errorf("%v has a secret in it", p)
		}
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("problems:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestOverrideProblems(t *testing.T) {
	for _, c := range []struct {
		name    string
		environ []string
		flags   []string
		want    []string
	}{
		{name: "unknown variable", environ: []string{"etcha_run_stateDr=x"}, want: []string{"env etcha_run_stateDr: unknown key; did you mean etcha_run_stateDir?"}},
		{name: "case", environ: []string{"etcha_run_statedir=x"}, want: []string{"env etcha_run_statedir: unknown key; did you mean etcha_run_stateDir?"}},
		{name: "upper case is not ours", environ: []string{"ETCHA_RUN_STATEDIR=x", "etchaX=1", "xetcha_run=1"}},
		{name: "below a map", environ: []string{"etcha_targets_web__1_prt=x"}, want: []string{"env etcha_targets_web__1_prt: unknown key; did you mean etcha_targets_web__1_port?"}},
		{name: "unknown in the middle", flags: []string{"sorces_a_shell=x"}, want: []string{"-x sorces_a_shell: unknown key; did you mean sources?"}},
		{name: "too deep", flags: []string{"cli_logLevel_x=1"}, want: []string{"-x cli_logLevel_x: cli.logLevel has no keys"}},
		{name: "too deep twice", flags: []string{"cli_logLevel_x_y=1"}, want: []string{"-x cli_logLevel_x_y: cli.logLevel has no keys"}},
		{name: "empty key", flags: []string{"cli_=1", "=1"}, want: []string{"-x : an empty key; write an underscore in a key twice", "-x cli_: an empty key; write an underscore in a key twice"}},
		{name: "no equals sign", flags: []string{"cli_noColor"}, want: []string{"-x cli_noColor: an equals sign is needed: -x run_stateDir=/srv/etcha"}},
		{name: "bad JSON", flags: []string{`cli={"logLevel":canary}`, `build={"a"`, `vars=["x"] y`, `vars={"a":1,"a":2}`, `lint="x`}, want: []string{
			"-x build: the value begins like JSON, and is none: the JSON is cut off",
			"-x cli: the value begins like JSON, and is none: not JSON near byte 11",
			"-x lint: the value begins like JSON, and is none: the JSON is cut off",
			`-x vars: the value begins like JSON, and is none: something follows the value`,
			`-x vars: the value begins like JSON, and is none: the key "a" stands twice`,
		}},
		{name: "deep JSON", flags: []string{"vars=" + strings.Repeat("[", 300)}, want: []string{"-x vars: the value begins like JSON, and is none: nested more than 200 deep"}},
		{name: "type", flags: []string{"cli_noColor=yes", "run_maxSessions=many", "sources=x", "targets_a=x", "run_timeoutPush=5"}, want: []string{
			"-x cli_noColor: cli.noColor: true or false is needed, not a string",
			"-x run_maxSessions: run.maxSessions: a whole number is needed",
			`-x run_timeoutPush: run.timeoutPush: a duration needs a unit: write "5s" for seconds`,
			"-x sources: sources: an object is needed, not a string",
			"-x targets_a: targets.a: an object is needed, not a string",
		}},
		{name: "JSON strings are no text", flags: []string{`cli={"noColor":"true"}`}, want: []string{"-x cli: cli.noColor: true or false is needed, not a string"}},
		{name: "whole", environ: []string{"etcha_config={\n cli: { x: 1 } }"}, want: []string{"env etcha_config:2: cli.x: unknown key; the nearest known one is cli.macros"}},
		{name: "whole broken", environ: []string{"etcha_config={"}, want: []string{"env etcha_config:1: Unexpected: end of file while parsing field definition"}},
		{name: "whole no object", environ: []string{"etcha_config=1"}, want: []string{"env etcha_config: a configuration is an object, not a number"}},
		{name: "whole blank", environ: []string{"etcha_config= "}},
		{name: "import in whole", environ: []string{"etcha_config=import 'gone'"}, want: []string{"env etcha_config:1: couldn't open import"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := options(t, "{}")
			o.Environ = append(o.Environ, c.environ...)
			o.Overrides = c.flags
			if c.name == "import in whole" {
				_, err := Load(context.Background(), o)
				if err == nil || !strings.HasPrefix(err.Error(), "env etcha_config:1: ") || !strings.Contains(err.Error(), "no such file") {
					t.Errorf("error %v", err)
				}
				return
			}
			expect(t, o, c.want)
		})
	}
}

// Wrong things of all layers come together, unless a file is beyond reading.
func TestProblemsOfAllLayers(t *testing.T) {
	o := options(t, "{ cli: { logLevel: 'loud' } }")
	o.Environ = append(o.Environ, "etcha_x=1", "etcha_config={ run: { y: 1 } }")
	o.Overrides = []string{"z=1"}
	expect(t, o, []string{
		`FILE:1: cli.logLevel: "loud" is not one of debug, info, warn, error, none`,
		"env etcha_config:1: run.y: unknown key; the nearest known one is run.ship",
		"env etcha_x: unknown key; the nearest known one is etcha_cli",
		"-x z: unknown key; the nearest known one is cli",
	})
}

func TestGoodForms(t *testing.T) {
	for _, text := range []string{
		"{}", `{"cli": {}}`, "{ sources: { a: {}, 'b c': {}, 'ü.x_y-z': {} } }",
		"{ httpServer: { rateLimit: 'off', listenAddress: '[::1]:0', trustedProxies: '10.0.0.1' } }",
		"{ httpClient: { proxy: 'socks5h://u:p@h:1', trust: 'ca', timeout: '0' } }",
		"{ targets: { a: { nodeID: '" + someNodeID + "', hostname: 'fe80::1%eth0', path: '/x', via: 'https://p:1' }, b: { via: 'a' } } }",
		"{ sources: { a: { commands: [], checkOnly: true, allowPush: true, runFrequency: '1h', pullPaths: 'https://x/y#A: b', webhookPaths: ['/'], services: { db: { url: 'postgres://u:p@h/d' } } } } }",
		"{ exec: { allowOverride: false, user: 'u' }, sources: { a: { shell: 'sh', processes: { p: 'top' } } } }",
		"{ sources: { a: { shell: { command: 'sh', window: 65536, scrollback: 0, umask: '0', idleTimeout: '0s' } } } }",
	} {
		if problems := Check(context.Background(), options(t, text)); problems != nil {
			t.Errorf("%s: %v", text, problems)
		}
	}
}
