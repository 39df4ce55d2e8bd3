package config

import (
	"slices"
	"strings"
	"testing"
)

func TestDescribe(t *testing.T) {
	keys := Describe()
	if !slices.IsSortedFunc(keys, func(a, b Key) int { return strings.Compare(a.Path, b.Path) }) {
		t.Error("the keys are not sorted")
	}
	known := map[string]Key{}
	for _, k := range keys {
		if _, twice := known[k.Path]; twice {
			t.Errorf("%s stands twice", k.Path)
		}
		known[k.Path] = k
		if !strings.HasSuffix(k.Doc, ".") || strings.ToUpper(k.Doc[:1]) != k.Doc[:1] && !startsWithValue(k.Doc) {
			t.Errorf("%s: doc %q, want a sentence", k.Path, k.Doc)
		}
		if k.Type == "" || k.Type == kindAny.String() {
			t.Errorf("%s has the type %q", k.Path, k.Type)
		}
	}
	for path, want := range map[string]Key{
		"cli.logLevel":                       {Type: "string", Default: "info"},
		"exec.command":                       {Type: "string", Default: "/usr/bin/bash -e -o pipefail -c"},
		"sources.NAME.shell":                 {Type: "object, or its command"},
		"sources.NAME.shell.idleTimeout":     {Type: "duration", Default: "30m"},
		"sources.NAME.shell.window":          {Type: "size", Default: "1MiB"},
		"sources.NAME.shell.umask":           {Type: "file mode", Default: "022"},
		"sources.NAME.shell.acceptEnv":       {Type: "list of strings", Default: `["LANG","LC_*","TERM","COLORTERM","TZ"]`},
		"sources.NAME.shell.user":            {Type: "string", Same: "exec.user"},
		"sources.NAME.shell.command":         {Type: "string", Same: "exec.command"},
		"sources.NAME.processes.NAME.env":    {Type: "map of strings", Same: "exec.env"},
		"sources.NAME.pullPaths[].path":      {Type: "string"},
		"sources.NAME.services.NAME.url":     {Type: "secret"},
		"targets.NAME.hostname":              {Type: "string", Default: "the target's name"},
		"targets.NAME.port":                  {Type: "whole number", Default: "4000"},
		"run.stateDir":                       {Type: "string", Default: "/var/lib/etcha as root, else etcha in $XDG_STATE_HOME or ~/.local/state"},
		"build.pushMaxWorkers":               {Type: "whole number", Default: "16 for each CPU"},
		"vars":                               {Type: "map"},
		"targets":                            {Type: "map of objects"},
		"lint.linters":                       {Type: "map of lists of strings", Default: `{"shellcheck":["shellcheck","-s","bash","-"]}`},
		"sources.NAME.commands":              {Type: "list"},
		"sources.NAME.processes.NAME.noSuch": {},
	} {
		got := known[path]
		got.Path, got.Doc = "", ""
		if got != want {
			t.Errorf("%s: %+v, want %+v", path, got, want)
		}
	}
}

// startsWithValue is for lines such as "human, kv or json."
func startsWithValue(doc string) bool {
	word, _, _ := strings.Cut(doc, " ")
	return strings.HasSuffix(word, ",") || strings.Contains(word, ":")
}

// The keys of the design's table, each of which must exist.
func TestDesignsKeysExist(t *testing.T) {
	known := map[string]bool{}
	for _, k := range Describe() {
		known[k.Path] = true
	}
	for prefix, names := range map[string]string{
		"build.":              "pushDomainSuffix pushMaxWorkers signingCommands signingExec signingKey signingKeyPath",
		"cli.":                "logFormat logLevel noColor macros configReload defaultSource defaultTarget",
		"httpClient.":         "trust tlsSkipVerify caFile noSystemCA certificate key proxy timeout",
		"run.audit.":          "maxSize",
		"run.recordings.":     "dir format maxAge maxSessionSize maxSize",
		"run.ship.":           "journald required s3 syslog",
		"run.ship.s3.":        "accessKey bucket caFile endpoint prefix region secretKey",
		"httpServer.":         "listenAddress tlsCertificate tlsKey clientCAFile trustedProxies rateLimit disableTLS",
		"lint.":               "exclude linters",
		"run.":                "jwtRule labels maxSessions maxSessionsPerKey randomizedStartDelay stateDir systemMetricsKey timeoutPush timeoutShell timeoutWebhook verifyCommands verifyExec verifyKeys",
		"sources.NAME.":       "allowPush checkOnly commands eventsReceive eventsSend exec jwtRule noRemove noRestore pullIgnoreVersion pullPaths runFrequency runMulti shell triggerOnly vars verifyCommands verifyExec verifyKeys webhookPaths breakGlass processes",
		"sources.NAME.shell.": "idleTimeout resumeFor window scrollback detached detachFor acceptEnv allowCommand umask record recordRequired obscure keep maxSessions rule require share command user workDir",
		"targets.NAME.":       "hostname port insecure path pathPush pathShell nodeID labels sourcePatterns vars via",
		"exec.":               "allowOverride command env envInherit group user sudo workDir containerImage containerEntrypoint containerNetwork containerPrivileged containerPull containerUser containerVolumes containerWorkDir",
		"":                    "vars exec sources.NAME.services.NAME.url",
	} {
		for name := range strings.FieldsSeq(names) {
			if !known[prefix+name] {
				t.Errorf("%s%s does not exist", prefix, name)
			}
		}
	}
}

// What the reference says of defaults is what loading gives.
func TestDescribedDefaultsAreTheRealOnes(t *testing.T) {
	l := load(t, options(t, "{ sources: { NAME: { shell: 'x' } }, targets: { NAME: {} } }"))
	values, err := l.Values(true)
	if err != nil {
		t.Fatal(err)
	}
	real := map[string]string{}
	for _, v := range values {
		if v.Origin.Kind == FromDefault {
			real[v.Key] = strings.Trim(v.JSON, `"`)
		}
	}
	for _, k := range Describe() {
		if _, varies := machineDefaults()[k.Path]; varies || k.Path == "lint.linters" {
			continue
		}
		if real[k.Path] != k.Default {
			t.Errorf("%s: described default %q, real one %q", k.Path, k.Default, real[k.Path])
		}
	}
}

// Every key can be set by its name.
func TestEveryKeyHasAName(t *testing.T) {
	for _, k := range Describe() {
		if strings.Contains(k.Path, "[]") {
			continue
		}
		if _, ok := OverrideName(strings.Split(k.Path, ".")...); !ok {
			t.Errorf("%s has no name for -x", k.Path)
		}
	}
}
