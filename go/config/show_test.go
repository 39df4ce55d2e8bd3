package config

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

// full has a canary in every place that is to be hidden.
const full = `{
  build: { pushMaxWorkers: 8, signingKey: 'canary' },
  exec: { env: { TOKEN: 'canary', EMPTY: '' } },
  httpClient: { proxy: 'http://user:canary@proxy:3128/canarynot?canary#canary', certificate: 'cert.pem', key: 'canary' },
  httpServer: { tlsCertificate: 'cert.pem', tlsKey: 'canary', trustedProxies: '10.0.0.0/8' },
  run: { stateDir: '/state', systemMetricsKey: 'canary', labels: { 'a.b': 'c' }, timeoutShell: '12h',
    ship: { s3: { endpoint: 'https://s3.example.com', bucket: 'b', accessKey: 'canary', secretKey: 'canary' }, syslog: 'tls://h:6514' } },
  sources: {
    debug: {
      exec: { env: { PASSWORD: 'canary' }, group: 'operator' },
      shell: { command: '/bin/bash', env: { X: 'canary' }, umask: '077', window: 2097152 },
      processes: { top: { command: 'top', env: { Y: 'canary' } } },
      pullPaths: ['https://user:canary@h/x.jwt?canary=1#Authorization: canary', '/var/x.jwt'],
      services: { db: { url: 'postgres://user:canary@db/x' } },
      commands: [{ id: 'a', check: 'true', exec: { env: { Z: 'canary' } } }],
    },
  },
  targets: { web_1: { via: 'socks5://canary@h:1080' } },
  vars: { 'a.b': { c_d: [1, 2.5, null, '<&>'] } },
}
`

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; run the test with -update and look at the difference:\n%s", path, got)
	}
}

func TestMasked(t *testing.T) {
	l := load(t, options(t, full))
	got, err := l.Masked(false)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "masked.json", got)
	if strings.Contains(strings.ReplaceAll(string(got), "canarynot", ""), "canary") {
		t.Errorf("a secret is shown:\n%s", got)
	}
	shown, err := l.Masked(true)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(strings.ReplaceAll(string(shown), "canarynot", ""), `"canary"`); got != 5 {
		t.Errorf("%d values of env are shown on demand, want 5 and no other secret:\n%s", got, shown)
	}
}

func TestValuesAndOrigins(t *testing.T) {
	o := options(t, full)
	o.Environ = append(o.Environ, "etcha_config={\n cli: { noColor: true } }", "etcha_cli_logLevel=warn")
	o.Overrides = []string{"sources_debug_shell_idleTimeout=1h", "cli={\"logFormat\": \"json\"}"}
	l := load(t, o)
	values, err := l.Values(false)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for _, v := range values {
		b.WriteString(v.Key + " = " + v.JSON + "  # " + strings.ReplaceAll(v.Origin.String(), o.Dir, "DIR") + "\n")
	}
	golden(t, "values.txt", b.Bytes())
}

// What is shown says the same when it is loaded, but for what is hidden.
func TestMaskedLoadsAgain(t *testing.T) {
	l := load(t, options(t, strings.ReplaceAll(full, "stateDir", "stateDir")))
	first, err := l.Masked(true)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(string(first), "https://********@h/x.jwt?********#********", "x.jwt")
	text = strings.NewReplacer(
		"http://********@proxy:3128/canarynot?********#********", "http://proxy:3128",
		"socks5://********@h:1080", "socks5://h:1080",
		`"url": "********"`, `"url": "postgres://db/x"`,
	).Replace(text)
	again := load(t, options(t, text))
	second, err := again.Masked(true)
	if err != nil {
		t.Fatal(err)
	}
	if text = strings.ReplaceAll(text, `"url": "postgres://db/x"`, `"url": "********"`); string(second) != text {
		t.Errorf("loaded again:\n%s\nwant:\n%s", second, text)
	}
}

func TestMaskURL(t *testing.T) {
	for s, want := range map[string]string{
		"":                        "",
		"web":                     "web",
		"/a/b#c":                  "/a/b#c",
		"http://h":                "http://h",
		"http://h:1/p":            "http://h:1/p",
		"http://u@h/p":            "http://********@h/p",
		"http://u:p@q@h/p@x":      "http://********@h/p@x",
		"http://h?a=b":            "http://h?********",
		"http://h/?a#b":           "http://h/?********#********",
		"http://h/#A: b\r\nC: d":  "http://h/#********",
		"http://h#":               "http://h",
		"http://h/p?x=http://u@y": "http://h/p?********",
	} {
		if got := maskURL(s); got != want {
			t.Errorf("%q is shown as %q, want %q", s, got, want)
		}
	}
}
