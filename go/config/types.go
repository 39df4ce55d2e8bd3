package config

import "time"

// Config is the effective configuration of one program: defaults, file,
// environment and -x merged. It is not changed after [Load] returned it.
type Config struct {
	Build      Build             `koanf:"build"`
	CLI        CLI               `koanf:"cli"`
	Exec       Exec              `koanf:"exec"`
	HTTPClient HTTPClient        `koanf:"httpClient"`
	HTTPServer HTTPServer        `koanf:"httpServer"`
	Lint       Lint              `koanf:"lint"`
	Run        Run               `koanf:"run"`
	Sources    map[string]Source `koanf:"sources"`
	Targets    map[string]Target `koanf:"targets"`
	Vars       map[string]any    `koanf:"vars"`
}

// Build is signing and fan-out.
type Build struct {
	PushDomainSuffix string `koanf:"pushDomainSuffix"`
	PushMaxWorkers   int    `koanf:"pushMaxWorkers"` // targets at once; default 16 per CPU
	SigningCommands  []any  `koanf:"signingCommands"`
	SigningExec      Exec   `koanf:"signingExec"`
	SigningKey       Secret `koanf:"signingKey"`
	SigningKeyPath   string `koanf:"signingKeyPath"` // a bare file name is looked up through the parents
}

// CLI is how the program talks to its user.
type CLI struct {
	ConfigReload  time.Duration    `koanf:"configReload"` // 0: on SIGHUP only
	DefaultSource string           `koanf:"defaultSource"`
	DefaultTarget string           `koanf:"defaultTarget"`
	LogFormat     string           `koanf:"logFormat"` // human, kv, json
	LogLevel      string           `koanf:"logLevel"`  // debug, info, warn, error, none
	Macros        map[string]Macro `koanf:"macros"`
	NoColor       bool             `koanf:"noColor"`
}

// Macro is a name for a longer command line.
type Macro struct {
	Arguments []string `koanf:"arguments"`
	Template  string   `koanf:"template"`
	Usage     string   `koanf:"usage"`
}

// Exec is how a script or a shell is started. Pointers tell unset from false.
type Exec struct {
	AllowOverride       *bool             `koanf:"allowOverride"`
	Command             string            `koanf:"command"`
	ContainerEntrypoint string            `koanf:"containerEntrypoint"`
	ContainerImage      string            `koanf:"containerImage"`
	ContainerNetwork    string            `koanf:"containerNetwork"`
	ContainerPrivileged *bool             `koanf:"containerPrivileged"`
	ContainerPull       string            `koanf:"containerPull"`
	ContainerUser       string            `koanf:"containerUser"`
	ContainerVolumes    []string          `koanf:"containerVolumes"`
	ContainerWorkDir    string            `koanf:"containerWorkDir"`
	Env                 map[string]string `koanf:"env"`
	EnvInherit          *bool             `koanf:"envInherit"`
	Group               string            `koanf:"group"`
	Sudo                *bool             `koanf:"sudo"`
	User                string            `koanf:"user"`
	WorkDir             string            `koanf:"workDir"`
}

// HTTPClient is how other nodes are reached.
type HTTPClient struct {
	CAFile        string        `koanf:"caFile"`
	Certificate   string        `koanf:"certificate"` // path or PEM
	Key           Secret        `koanf:"key"`         // path or PEM
	NoSystemCA    bool          `koanf:"noSystemCA"`
	Proxy         string        `koanf:"proxy"`
	Timeout       time.Duration `koanf:"timeout"` // of connecting and of answers that are not streams
	TLSSkipVerify bool          `koanf:"tlsSkipVerify"`
	Trust         string        `koanf:"trust"` // pin, ca
}

// HTTPServer is the node's listener.
type HTTPServer struct {
	ClientCAFile   string   `koanf:"clientCAFile"`
	DisableTLS     bool     `koanf:"disableTLS"`
	ListenAddress  string   `koanf:"listenAddress"`
	RateLimit      string   `koanf:"rateLimit"`      // failed requests per address, "10/s" or "300/m"; "off"
	TLSCertificate string   `koanf:"tlsCertificate"` // path or PEM; default: made from the identity key
	TLSKey         Secret   `koanf:"tlsKey"`         // path or PEM
	TrustedProxies []string `koanf:"trustedProxies"` // CIDRs or addresses whose forwarded headers are believed
}

// Lint is the linters of etcha lint.
type Lint struct {
	Exclude string              `koanf:"exclude"`
	Linters map[string][]string `koanf:"linters"`
}

// Run is the node.
type Run struct {
	JWTRule              string            `koanf:"jwtRule"`
	Labels               map[string]string `koanf:"labels"`
	MaxSessions          int               `koanf:"maxSessions"`
	MaxSessionsPerKey    int               `koanf:"maxSessionsPerKey"`
	RandomizedStartDelay time.Duration     `koanf:"randomizedStartDelay"`
	StateDir             string            `koanf:"stateDir"`
	SystemMetricsKey     Secret            `koanf:"systemMetricsKey"`
	TimeoutPush          time.Duration     `koanf:"timeoutPush"`
	TimeoutShell         time.Duration     `koanf:"timeoutShell"` // a session's longest life; 0: none
	TimeoutWebhook       time.Duration     `koanf:"timeoutWebhook"`
	VerifyCommands       []any             `koanf:"verifyCommands"`
	VerifyExec           Exec              `koanf:"verifyExec"`
	VerifyKeys           []string          `koanf:"verifyKeys"`
}

// Source is what a node offers under a name.
type Source struct {
	AllowPush         bool               `koanf:"allowPush"`
	BreakGlass        bool               `koanf:"breakGlass"`
	CheckOnly         bool               `koanf:"checkOnly"`
	Commands          []any              `koanf:"commands"`
	EventsReceive     []string           `koanf:"eventsReceive"`
	EventsSend        string             `koanf:"eventsSend"`
	Exec              Exec               `koanf:"exec"`
	JWTRule           string             `koanf:"jwtRule"`
	NoRemove          bool               `koanf:"noRemove"`
	NoRestore         bool               `koanf:"noRestore"`
	Processes         map[string]Exec    `koanf:"processes"`
	PullIgnoreVersion bool               `koanf:"pullIgnoreVersion"`
	PullPaths         []PullPath         `koanf:"pullPaths"`
	RunFrequency      time.Duration      `koanf:"runFrequency"`
	RunMulti          bool               `koanf:"runMulti"`
	Services          map[string]Service `koanf:"services"`
	Shell             *Shell             `koanf:"shell"` // nil: no shells
	TriggerOnly       bool               `koanf:"triggerOnly"`
	Vars              map[string]any     `koanf:"vars"`
	VerifyCommands    []any              `koanf:"verifyCommands"`
	VerifyExec        Exec               `koanf:"verifyExec"`
	VerifyKeys        []string           `koanf:"verifyKeys"` // added to run.verifyKeys
	WebhookPaths      []string           `koanf:"webhookPaths"`
}

// PullPath is one place an artifact may come from.
type PullPath struct {
	Path       string `koanf:"path"`
	SkipVerify bool   `koanf:"skipVerify"`
}

// Service is something the node can connect to.
type Service struct {
	URL Secret `koanf:"url"`
}

// Shell is a source's shell: an exec and the session's settings.
type Shell struct {
	Exec `koanf:",squash"`

	AcceptEnv      []string      `koanf:"acceptEnv"`    // glob patterns; default LANG, LC_*, TERM, COLORTERM, TZ
	AllowCommand   bool          `koanf:"allowCommand"` // false refuses every client-given command
	DetachFor      time.Duration `koanf:"detachFor"`    // 0: refused
	Detached       string        `koanf:"detached"`     // block, discard
	IdleTimeout    time.Duration `koanf:"idleTimeout"`  // 0: none
	Keep           bool          `koanf:"keep"`
	MaxSessions    int           `koanf:"maxSessions"` // of this source; 0: no own limit
	Obscure        string        `koanf:"obscure"`     // chaff, interval, off
	Record         string        `koanf:"record"`      // off, output, full
	RecordRequired bool          `koanf:"recordRequired"`
	Require        int           `koanf:"require"`
	ResumeFor      time.Duration `koanf:"resumeFor"`
	Rule           string        `koanf:"rule"`
	Scrollback     Size          `koanf:"scrollback"`
	Umask          *FileMode     `koanf:"umask"` // octal; default 022
	Window         Size          `koanf:"window"`
}

// Target is another node, by name.
type Target struct {
	Hostname       string            `koanf:"hostname"` // default: the name
	Insecure       bool              `koanf:"insecure"` // plain HTTP
	Labels         map[string]string `koanf:"labels"`
	NodeID         string            `koanf:"nodeID"`
	Path           string            `koanf:"path"` // prefix of every route
	PathPush       string            `koanf:"pathPush"`
	PathShell      string            `koanf:"pathShell"`
	Port           int               `koanf:"port"`
	SourcePatterns map[string]string `koanf:"sourcePatterns"`
	Vars           map[string]any    `koanf:"vars"`
	Via            string            `koanf:"via"`
}
