package config

import "time"

// The tag koanf is a key's name, doc its line in the reference. short names the
// key that a bare string in place of the object stands for; mask says what of a
// text stays hidden when the configuration is shown: url (user, query, fragment)
// or values (of a map). A [Secret] is always hidden.

// Config is the effective configuration of one program: defaults, file,
// environment and -x merged. It is not changed after [Load] returned it.
type Config struct {
	Build      Build             `koanf:"build" doc:"Signing and fan-out."`
	CLI        CLI               `koanf:"cli" doc:"How the program talks to its user."`
	Exec       Exec              `koanf:"exec" doc:"How scripts are run; the first level of the exec chain."`
	HTTPClient HTTPClient        `koanf:"httpClient" doc:"How other nodes are reached."`
	HTTPServer HTTPServer        `koanf:"httpServer" doc:"The node's listener."`
	Lint       Lint              `koanf:"lint" doc:"What etcha lint runs."`
	Run        Run               `koanf:"run" doc:"The node."`
	Sources    map[string]Source `koanf:"sources" doc:"What this node offers, by name."`
	Targets    map[string]Target `koanf:"targets" doc:"Other nodes, by name."`
	Vars       map[string]any    `koanf:"vars" doc:"Values for Patterns. Shown by etcha config: keep secrets elsewhere."`
}

// Build is signing and fan-out.
type Build struct {
	PushDomainSuffix string `koanf:"pushDomainSuffix" doc:"Added to the names of targets that have no dot."`
	PushMaxWorkers   int    `koanf:"pushMaxWorkers" doc:"Targets worked on at once."`
	SigningCommands  []any  `koanf:"signingCommands" doc:"Commands that sign, in place of a key."`
	SigningExec      Exec   `koanf:"signingExec" doc:"How signingCommands are run."`
	SigningKey       Secret `koanf:"signingKey" doc:"The private key that signs requests and artifacts."`
	SigningKeyPath   string `koanf:"signingKeyPath" doc:"A file with the private key; a bare file name is looked up through the parent folders."`
}

// CLI is how the program talks to its user.
type CLI struct {
	ConfigReload  time.Duration    `koanf:"configReload" doc:"How often a daemon looks whether its configuration changed; 0: on SIGHUP only."`
	DefaultSource string           `koanf:"defaultSource" doc:"The source when none is given."`
	DefaultTarget string           `koanf:"defaultTarget" doc:"The target when none is given."`
	LogFormat     string           `koanf:"logFormat" doc:"human, kv or json."`
	LogLevel      string           `koanf:"logLevel" doc:"debug, info, warn, error or none."`
	Macros        map[string]Macro `koanf:"macros" doc:"Names for longer command lines."`
	NoColor       bool             `koanf:"noColor" doc:"Never colours."`
}

// Macro is a name for a longer command line.
type Macro struct {
	Arguments []string `koanf:"arguments" doc:"Names of the macro's arguments."`
	Template  string   `koanf:"template" doc:"The command line."`
	Usage     string   `koanf:"usage" doc:"One line for the help."`
}

// Exec is how a script or a shell is started. Pointers tell unset from false.
type Exec struct {
	AllowOverride       *bool             `koanf:"allowOverride" doc:"Whether the levels below may set anything. A shell's or process's own command needs no permission."`
	Command             string            `koanf:"command" doc:"The program and its arguments, split like a shell does (quotes, backslashes). Scripts are added as the last argument."`
	ContainerEntrypoint string            `koanf:"containerEntrypoint" doc:"The container's entry point."`
	ContainerImage      string            `koanf:"containerImage" doc:"Runs in a container of this image."`
	ContainerNetwork    string            `koanf:"containerNetwork" doc:"The container's network."`
	ContainerPrivileged *bool             `koanf:"containerPrivileged" doc:"A privileged container."`
	ContainerPull       string            `koanf:"containerPull" doc:"When the image is pulled, as the engine names it."`
	ContainerUser       string            `koanf:"containerUser" doc:"The user inside the container."`
	ContainerVolumes    []string          `koanf:"containerVolumes" doc:"The container's volumes."`
	ContainerWorkDir    string            `koanf:"containerWorkDir" doc:"The working directory inside the container."`
	Env                 map[string]string `koanf:"env" mask:"values" doc:"Environment, merged by name down the chain. Its values are hidden by etcha config."`
	EnvInherit          *bool             `koanf:"envInherit" doc:"Whether the daemon's own environment is passed on; PATH and HOME always are."`
	Group               string            `koanf:"group" doc:"The group, by name or number, in place of the user's own."`
	Sudo                *bool             `koanf:"sudo" doc:"Runs through sudo -E when not root."`
	User                string            `koanf:"user" doc:"The user, by name or number."`
	WorkDir             string            `koanf:"workDir" doc:"The working directory."`
}

// HTTPClient is how other nodes are reached.
type HTTPClient struct {
	CAFile        string        `koanf:"caFile" doc:"A file of certificate authorities, in PEM."`
	Certificate   string        `koanf:"certificate" doc:"The client's certificate: a path or PEM."`
	Key           Secret        `koanf:"key" doc:"The key of the client's certificate: a path or PEM."`
	NoSystemCA    bool          `koanf:"noSystemCA" doc:"Does not trust the system's certificate authorities."`
	Proxy         string        `koanf:"proxy" mask:"url" doc:"A proxy: http, https, socks5 or socks5h URL."`
	Timeout       time.Duration `koanf:"timeout" doc:"For connecting and for answers that are not streams; 0: none."`
	TLSSkipVerify bool          `koanf:"tlsSkipVerify" doc:"Does not check TLS certificates. The node's identity is checked all the same."`
	Trust         string        `koanf:"trust" doc:"How TLS is checked: pin (the node's own certificate) or ca (authorities). The node is pinned in both."`
}

// HTTPServer is the node's listener.
type HTTPServer struct {
	ClientCAFile   string   `koanf:"clientCAFile" doc:"Clients must have a certificate of these authorities, in PEM."`
	DisableTLS     bool     `koanf:"disableTLS" doc:"Plain HTTP, for a node behind a proxy."`
	ListenAddress  string   `koanf:"listenAddress" doc:"host:port; the port 0 takes a free one."`
	RateLimit      string   `koanf:"rateLimit" doc:"Failed requests for each address: a number per s, m or h, such as 300/m; off."`
	TLSCertificate string   `koanf:"tlsCertificate" doc:"A path or PEM. Without it a certificate is made from the node's identity key."`
	TLSKey         Secret   `koanf:"tlsKey" doc:"The key of tlsCertificate: a path or PEM."`
	TrustedProxies []string `koanf:"trustedProxies" doc:"Addresses or networks (CIDR) of proxies whose forwarded headers are believed."`
}

// Lint is the linters of etcha lint.
type Lint struct {
	Exclude string              `koanf:"exclude" doc:"Paths that are left out: a regular expression."`
	Linters map[string][]string `koanf:"linters" doc:"Programs that get each script on stdin: the program and its arguments."`
}

// Run is the node.
type Run struct {
	Audit                Audit             `koanf:"audit" doc:"The log of who did what."`
	JWTRule              string            `koanf:"jwtRule" doc:"A rule over an artifact's claims that must be true."`
	Labels               map[string]string `koanf:"labels" doc:"Labels of this node."`
	MaxSessions          int               `koanf:"maxSessions" doc:"Sessions on this node at once."`
	MaxSessionsPerKey    int               `koanf:"maxSessionsPerKey" doc:"Sessions of one key at once."`
	RandomizedStartDelay time.Duration     `koanf:"randomizedStartDelay" doc:"The longest random wait before the first run."`
	Recordings           Recordings        `koanf:"recordings" doc:"Recorded sessions."`
	Ship                 Ship              `koanf:"ship" doc:"Where audit entries and recordings are sent."`
	StateDir             string            `koanf:"stateDir" doc:"Where identity, journal and known nodes are kept."`
	SystemMetricsKey     Secret            `koanf:"systemMetricsKey" doc:"The key of the metrics page; without it there is none."`
	TimeoutPush          time.Duration     `koanf:"timeoutPush" doc:"The longest time of a push; 0: no limit."`
	TimeoutShell         time.Duration     `koanf:"timeoutShell" doc:"A session's longest life; 0: no limit."`
	TimeoutWebhook       time.Duration     `koanf:"timeoutWebhook" doc:"The longest time of a webhook; 0: no limit."`
	VerifyCommands       []any             `koanf:"verifyCommands" doc:"Commands that verify artifacts, in place of keys."`
	VerifyExec           Exec              `koanf:"verifyExec" doc:"How verifyCommands are run."`
	VerifyKeys           []string          `koanf:"verifyKeys" doc:"Public keys whose requests every source accepts."`
}

// Audit is the log of who did what.
type Audit struct {
	MaxSize Size `koanf:"maxSize" doc:"The whole log; beyond it its oldest segments are removed, which the log says. 0: no limit."`
}

// Recordings is where and how long recorded sessions are kept.
type Recordings struct {
	Dir            string        `koanf:"dir" doc:"The folder; empty: recordings in run.stateDir."`
	Format         string        `koanf:"format" doc:"The version of asciicast: v3 or v2."`
	MaxAge         time.Duration `koanf:"maxAge" doc:"Recordings older than this are removed; 0: never."`
	MaxSessionSize Size          `koanf:"maxSessionSize" doc:"One recording; at this size it ends. 0: no limit."`
	MaxSize        Size          `koanf:"maxSize" doc:"All recordings; beyond it the oldest are removed. 0: no limit."`
}

// Ship is where audit entries and recordings are sent.
type Ship struct {
	Journald bool   `koanf:"journald" doc:"Audit entries go to the systemd journal."`
	Required bool   `koanf:"required" doc:"A session opens only once its entry has arrived everywhere."`
	S3       S3     `koanf:"s3" doc:"Audit entries and recordings go to an S3-compatible store."`
	Syslog   string `koanf:"syslog" doc:"Audit entries go to a syslog server: udp://, tcp:// or tls://host:port, or unix:///dev/log. tls may end in ?ca=FILE, authorities in PEM."`
}

// S3 is a bucket of an S3-compatible store.
type S3 struct {
	AccessKey Secret `koanf:"accessKey" doc:"The key's ID; empty: from the environment or the instance's role."`
	Bucket    string `koanf:"bucket" doc:"The bucket."`
	CAFile    string `koanf:"caFile" doc:"A file of certificate authorities, in PEM."`
	Endpoint  string `koanf:"endpoint" mask:"url" doc:"The URL of the store, such as https://s3.example.com."`
	Prefix    string `koanf:"prefix" doc:"Put before the names of objects."`
	Region    string `koanf:"region" doc:"The region."`
	SecretKey Secret `koanf:"secretKey" doc:"The key."`
}

// Source is what a node offers under a name.
type Source struct {
	AllowPush         bool               `koanf:"allowPush" doc:"Accepts pushes."`
	BreakGlass        bool               `koanf:"breakGlass" doc:"For emergencies: its use raises an alert of its own."`
	CheckOnly         bool               `koanf:"checkOnly" doc:"Runs checks only."`
	Commands          []any              `koanf:"commands" doc:"Commands that run at start, until an artifact replaces them."`
	EventsReceive     []string           `koanf:"eventsReceive" doc:"Names of events that run this source."`
	EventsSend        string             `koanf:"eventsSend" doc:"Events that others may receive: a regular expression."`
	Exec              Exec               `koanf:"exec" doc:"How this source runs; the level between exec and the shell."`
	JWTRule           string             `koanf:"jwtRule" doc:"A rule over an artifact's claims that must be true, besides run.jwtRule."`
	NoRemove          bool               `koanf:"noRemove" doc:"Never removes what is gone from an artifact."`
	NoRestore         bool               `koanf:"noRestore" doc:"Does not run the cached artifact at start."`
	Processes         map[string]Exec    `koanf:"processes" short:"command" doc:"Further shells by name, for --process. Each follows exec and the source's exec, not the shell."`
	PullIgnoreVersion bool               `koanf:"pullIgnoreVersion" doc:"An artifact that differs in its version alone changes nothing."`
	PullPaths         []PullPath         `koanf:"pullPaths" short:"path" doc:"Where artifacts are pulled from; the first valid one wins."`
	RunFrequency      time.Duration      `koanf:"runFrequency" doc:"How often it is pulled and run; 0: once."`
	RunMulti          bool               `koanf:"runMulti" doc:"Runs may overlap; else they queue."`
	Services          map[string]Service `koanf:"services" doc:"Databases and caches that the node can reach."`
	Shell             *Shell             `koanf:"shell" short:"command" doc:"The source's shell. Setting it allows shells; a string is its command."`
	TriggerOnly       bool               `koanf:"triggerOnly" doc:"Runs when triggered, not at start."`
	Vars              map[string]any     `koanf:"vars" doc:"Values for Patterns, over the vars at the top."`
	VerifyCommands    []any              `koanf:"verifyCommands" doc:"Commands that verify artifacts, in place of keys."`
	VerifyExec        Exec               `koanf:"verifyExec" doc:"How verifyCommands are run."`
	VerifyKeys        []string           `koanf:"verifyKeys" doc:"Public keys whose requests this source accepts, besides run.verifyKeys."`
	WebhookPaths      []string           `koanf:"webhookPaths" doc:"Paths whose requests run this source."`
}

// PullPath is one place an artifact may come from.
type PullPath struct {
	Path       string `koanf:"path" mask:"url" doc:"A file, or a URL with headers after #."`
	SkipVerify bool   `koanf:"skipVerify" doc:"Takes the artifact unverified."`
}

// Service is something the node can connect to.
type Service struct {
	URL Secret `koanf:"url" doc:"Its URL with user and password. It never leaves the node."`
}

// Shell is a source's shell: an exec and the session's settings.
type Shell struct {
	Exec `koanf:",squash"`

	AcceptEnv      []string      `koanf:"acceptEnv" doc:"Variables that a client may set; * and ? are wildcards."`
	AllowCommand   bool          `koanf:"allowCommand" doc:"Whether a client may give a command; false refuses every one, through every door."`
	DetachFor      time.Duration `koanf:"detachFor" doc:"How long a session opened with --detach outlives its client; 0: refused."`
	Detached       string        `koanf:"detached" doc:"With nobody attached, a full window: block stops the program, discard drops its oldest output."`
	IdleTimeout    time.Duration `koanf:"idleTimeout" doc:"Ends a session without input and output for so long; 0: never."`
	Keep           bool          `koanf:"keep" doc:"Background jobs survive a normal exit. They never survive a kill, an expiry or an end by policy."`
	MaxSessions    int           `koanf:"maxSessions" doc:"Sessions of this source at once; 0: only the node's limit."`
	Obscure        string        `koanf:"obscure" doc:"Hides the rhythm of typing: chaff, interval or off."`
	Record         string        `koanf:"record" doc:"Records sessions: off, output or full."`
	RecordRequired bool          `koanf:"recordRequired" doc:"No recording, no session."`
	Require        int           `koanf:"require" doc:"Counter-signatures by others that an open needs, at most 8."`
	ResumeFor      time.Duration `koanf:"resumeFor" doc:"How long a session outlives a client that vanished."`
	Rule           string        `koanf:"rule" doc:"A rule over identity and request that must be true, for whatever is done with the source's sessions."`
	Scrollback     Size          `koanf:"scrollback" doc:"Output kept for late viewers, once acknowledged."`
	Share          string        `koanf:"share" doc:"A rule that must be true too, for what somebody does with another one's session: list, attach, watch, join, kill. Without it nobody may."`
	Umask          *FileMode     `koanf:"umask" doc:"The session's umask, in octal."`
	Window         Size          `koanf:"window" doc:"Output kept until the client has it; when full, the program waits."`
}

// Target is another node, by name.
type Target struct {
	Hostname       string            `koanf:"hostname" doc:"Its host name or address."`
	Insecure       bool              `koanf:"insecure" doc:"Plain HTTP, for a node behind a proxy or on loopback."`
	Labels         map[string]string `koanf:"labels" doc:"Labels, for choosing targets."`
	NodeID         string            `koanf:"nodeID" doc:"The node ID it must have; without it the first one seen is remembered."`
	Path           string            `koanf:"path" doc:"Prefix of every route, for a node behind a proxy."`
	PathPush       string            `koanf:"pathPush" doc:"Route of pushes, when a proxy moves it."`
	PathShell      string            `koanf:"pathShell" doc:"Route of shells, when a proxy moves it."`
	Port           int               `koanf:"port" doc:"Its port."`
	SourcePatterns map[string]string `koanf:"sourcePatterns" doc:"What is pushed to it: source and Pattern file."`
	Vars           map[string]any    `koanf:"vars" doc:"Values for Patterns that are pushed to it."`
	Via            string            `koanf:"via" mask:"url" doc:"A proxy URL, or another target."`
}
