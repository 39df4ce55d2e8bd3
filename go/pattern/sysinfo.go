package pattern

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"strings"
)

// Sysinfo is what a Pattern learns about its machine as var sysinfo. What cannot
// be found out is empty.
type Sysinfo struct {
	Architecture     string      `json:"architecture"`     // as Go names it
	ContainerEngine  string      `json:"containerEngine"`  // docker or podman
	CPUs             int         `json:"cpus"`             // logical
	DefaultInterface string      `json:"defaultInterface"` // of the IPv4 default route, else of IPv6's
	FQDN             string      `json:"fqdn"`
	Hostname         string      `json:"hostname"`
	Interfaces       []Interface `json:"interfaces"`
	IPv4             []string    `json:"ipv4"` // of the default interface, with prefix
	IPv6             []string    `json:"ipv6"`
	KernelRelease    string      `json:"kernelRelease"`
	KernelVersion    string      `json:"kernelVersion"`
	MAC              string      `json:"mac"`     // of the default interface
	Machine          string      `json:"machine"` // as uname -m names it
	MemoryMB         int         `json:"memoryMB"`
	OSCodename       string      `json:"osCodename"`
	OSID             string      `json:"osID"`
	OSLike           string      `json:"osLike"`
	OSName           string      `json:"osName"`
	OSType           string      `json:"osType"` // as Go names it
	OSVersion        string      `json:"osVersion"`
	OSVersionID      string      `json:"osVersionID"`
	PackageManager   string      `json:"packageManager"` // apt, dnf, yum, zypper, apk, pacman, …
}

// Interface is a network interface, loopback left out.
type Interface struct {
	Name string   `json:"name"`
	MAC  string   `json:"mac"`
	IPv4 []string `json:"ipv4"` // with prefix
	IPv6 []string `json:"ipv6"`
}

// Device is a network interface as the system gives it.
type Device struct {
	Name     string
	MAC      string
	Loopback bool
	Prefixes []netip.Prefix
}

// Machine is where sysinfo is gathered from. A nil function finds nothing.
type Machine struct {
	OS, Arch string // as Go names them
	CPUs     int
	// ReadFile reads one of /etc/os-release, /usr/lib/os-release, /proc/….
	ReadFile func(path string) ([]byte, error)
	// Find reports whether there is a program of that name.
	Find func(program string) bool
	// Run runs a program and gives its output: uname -m, where ReadFile has no
	// answer.
	Run      func(ctx context.Context, program string, args ...string) (string, error)
	Devices  func() ([]Device, error)
	Hostname func() (string, error)
	// FQDN looks the full name of a host name up.
	FQDN func(ctx context.Context, hostname string) (string, error)
}

// Gather finds out what a Pattern may know. What fails is left empty: a Pattern
// that needs it says so. Only the context's end is an error.
func Gather(ctx context.Context, m Machine) (*Sysinfo, error) {
	s := &Sysinfo{Architecture: m.Arch, OSType: m.OS, CPUs: m.CPUs, Interfaces: []Interface{}, IPv4: []string{}, IPv6: []string{}}
	s.ContainerEngine = m.first("docker", "podman")
	s.PackageManager = m.first("apt", "dnf", "yum", "zypper", "apk", "pacman", "emerge", "xbps-install", "brew", "pkg")
	if s.PackageManager == "apt" && !m.has("apt-get") { // some systems have another apt
		s.PackageManager = m.first("dnf", "yum", "zypper", "apk", "pacman")
	}
	m.names(ctx, s)
	m.kernel(ctx, s)
	m.release(s)
	m.network(s)
	s.MemoryMB = memory(m.read("/proc/meminfo"))
	if err := ctx.Err(); err != nil {
		return nil, errors.Join(errors.New("gather sysinfo"), err)
	}
	return s, nil
}

func (m Machine) has(program string) bool { return m.Find != nil && m.Find(program) }

func (m Machine) first(programs ...string) string {
	for _, p := range programs {
		if m.has(p) {
			return p
		}
	}
	return ""
}

func (m Machine) read(path string) string {
	if m.ReadFile == nil {
		return ""
	}
	text, err := m.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

func (m Machine) names(ctx context.Context, s *Sysinfo) {
	if m.Hostname != nil {
		s.Hostname, _ = m.Hostname()
	}
	s.FQDN = s.Hostname
	if m.FQDN != nil && s.Hostname != "" {
		if name, err := m.FQDN(ctx, s.Hostname); err == nil && name != "" {
			s.FQDN = strings.TrimSuffix(name, ".")
		}
	}
}

func (m Machine) kernel(ctx context.Context, s *Sysinfo) {
	s.KernelRelease = m.read("/proc/sys/kernel/osrelease")
	s.KernelVersion = m.read("/proc/sys/kernel/version")
	s.Machine = m.read("/proc/sys/kernel/arch") // Linux 6.1 and later
	for option, to := range map[string]*string{"-r": &s.KernelRelease, "-v": &s.KernelVersion, "-m": &s.Machine} {
		if *to == "" && m.Run != nil {
			if out, err := m.Run(ctx, "uname", option); err == nil {
				*to = strings.TrimSpace(out)
			}
		}
	}
}

func (m Machine) release(s *Sysinfo) {
	text := m.read("/etc/os-release")
	if text == "" {
		text = m.read("/usr/lib/os-release")
	}
	f := parseRelease(text)
	s.OSID, s.OSLike, s.OSName = f["ID"], f["ID_LIKE"], f["NAME"]
	s.OSVersion, s.OSVersionID, s.OSCodename = f["VERSION"], f["VERSION_ID"], f["VERSION_CODENAME"]
}

// parseRelease reads os-release(5): a shell's assignments, quoted or not.
func parseRelease(text string) map[string]string {
	out := make(map[string]string)
	for line := range strings.Lines(text) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(name, "#") {
			continue
		}
		if n := len(value); n >= 2 && (value[0] == '"' || value[0] == '\'') && value[n-1] == value[0] {
			escapes := value[0] == '"'
			value = value[1 : n-1]
			if escapes {
				value = strings.NewReplacer(`\"`, `"`, `\$`, `$`, "\\`", "`", `\\`, `\`).Replace(value)
			}
		}
		out[name] = value
	}
	return out
}

// memory is the memory in MB, 1024 KB each, of /proc/meminfo.
func memory(text string) int {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "MemTotal:" {
			kb, _ := strconv.Atoi(f[1])
			return kb / 1024
		}
	}
	return 0
}

func (m Machine) network(s *Sysinfo) {
	s.DefaultInterface = defaultRoute(m.read("/proc/net/route"), m.read("/proc/net/ipv6_route"))
	if m.Devices == nil {
		return
	}
	devices, _ := m.Devices()
	for _, d := range devices {
		if d.Loopback {
			continue
		}
		i := Interface{Name: d.Name, MAC: d.MAC, IPv4: []string{}, IPv6: []string{}}
		for _, p := range d.Prefixes {
			if p.Addr().Unmap().Is4() {
				i.IPv4 = append(i.IPv4, p.String())
			} else {
				i.IPv6 = append(i.IPv6, p.String())
			}
		}
		s.Interfaces = append(s.Interfaces, i)
		if i.Name == s.DefaultInterface {
			s.MAC, s.IPv4, s.IPv6 = i.MAC, i.IPv4, i.IPv6
		}
	}
}

// Columns of /proc/net/route, and the flag of a route that is up.
const (
	routeFlags, routeMetric, routeMask = 3, 6, 7

	routeUp = 1
)

// defaultRoute is the interface of the default route with the least metric.
func defaultRoute(v4, v6 string) string {
	best, least := "", -1
	for line := range strings.Lines(v4) {
		f := strings.Fields(line)
		if len(f) <= routeMask || f[1] != "00000000" || f[routeMask] != "00000000" {
			continue
		}
		flags, err := strconv.ParseUint(f[routeFlags], 16, 16)
		metric, err2 := strconv.Atoi(f[routeMetric])
		if err == nil && err2 == nil && flags&routeUp != 0 && (least < 0 || metric < least) {
			best, least = f[0], metric
		}
	}
	if best != "" {
		return best
	}
	none := strings.Repeat("0", 32)
	for line := range strings.Lines(v6) {
		f := strings.Fields(line)
		if len(f) == 10 && f[0] == none && f[1] == "00" && f[4] != none && f[9] != "lo" {
			return f[9]
		}
	}
	return ""
}
