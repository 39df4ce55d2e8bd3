package pattern

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func machine() Machine {
	files := map[string]string{
		"/proc/sys/kernel/osrelease": "6.1.0-9\n", "/proc/sys/kernel/version": "#1 SMP\n",
		"/etc/os-release": "# c\nNAME=\"Debian \\\"GNU\\\"/Linux\"\nID=debian\nID_LIKE='a b'\nVERSION=\"12 (bookworm)\"\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n\nbroken\n",
		"/proc/meminfo":   "MemTotal:        4194304 kB\nMemFree: 1 kB\n",
		"/proc/net/route": "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n" +
			"wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\neth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n" +
			"down0\t00000000\t0101A8C0\t0002\t0\t0\t1\t00000000\t0\t0\t0\neth1\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n",
	}
	return Machine{
		OS: "linux", Arch: "amd64", CPUs: 4,
		ReadFile: func(path string) ([]byte, error) {
			if text, ok := files[path]; ok {
				return []byte(text), nil
			}
			return nil, fs.ErrNotExist
		},
		Find: func(p string) bool { return slices.Contains([]string{"podman", "apt", "apt-get"}, p) },
		Run: func(_ context.Context, program string, args ...string) (string, error) {
			if program == "uname" && args[0] == "-m" {
				return "x86_64\n", nil
			}
			return "", errors.New("unexpected")
		},
		Devices: func() ([]Device, error) {
			return []Device{
				{Name: "lo", Loopback: true},
				{Name: "eth0", MAC: "aa:bb", Prefixes: []netip.Prefix{netip.MustParsePrefix("192.168.1.2/24"), netip.MustParsePrefix("fd00::2/64")}},
				{Name: "eth1"},
			}, nil
		},
		Hostname: func() (string, error) { return "web", nil },
		FQDN:     func(context.Context, string) (string, error) { return "web.example.org.", nil },
	}
}

func TestGather(t *testing.T) {
	got, err := Gather(context.Background(), machine())
	if err != nil {
		t.Fatal(err)
	}
	want := &Sysinfo{
		Architecture: "amd64", ContainerEngine: "podman", CPUs: 4, DefaultInterface: "eth0", FQDN: "web.example.org", Hostname: "web",
		Interfaces: []Interface{
			{Name: "eth0", MAC: "aa:bb", IPv4: []string{"192.168.1.2/24"}, IPv6: []string{"fd00::2/64"}},
			{Name: "eth1", IPv4: []string{}, IPv6: []string{}},
		},
		IPv4: []string{"192.168.1.2/24"}, IPv6: []string{"fd00::2/64"}, KernelRelease: "6.1.0-9", KernelVersion: "#1 SMP",
		MAC: "aa:bb", Machine: "x86_64", MemoryMB: 4096, OSCodename: "bookworm", OSID: "debian", OSLike: "a b",
		OSName: `Debian "GNU"/Linux`, OSType: "linux", OSVersion: "12 (bookworm)", OSVersionID: "12", PackageManager: "apt",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("gathered\n%+v, want\n%+v", got, want)
	}
}

func TestGatherWithoutAnything(t *testing.T) {
	got, err := Gather(context.Background(), Machine{OS: "x", Arch: "y"})
	if err != nil || got.Hostname != "" || got.Interfaces == nil || got.IPv4 == nil {
		t.Errorf("gathered %+v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Gather(ctx, machine()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestDefaultRouteOfIPv6(t *testing.T) {
	none := "00000000000000000000000000000000"
	v6 := none + " 00 " + none + " 00 " + none + " ffffffff 00000001 00000000 00200200 lo\n" +
		none + " 00 " + none + " 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003 eth2\n"
	if got := defaultRoute("", v6); got != "eth2" {
		t.Errorf("interface %q", got)
	}
}

func FuzzSysinfo(f *testing.F) {
	f.Add("NAME=\"x\nID='\nMemTotal: x")
	f.Add("eth0\t00000000\t0\t0003\t0\t0\t1\t00000000\n")
	f.Fuzz(func(t *testing.T, text string) {
		for name := range parseRelease(text) {
			if !strings.Contains(text, name+"=") {
				t.Errorf("name %q of %q", name, text)
			}
		}
		memory(text)
		if name := defaultRoute(text, text); name != "" && len(name) > len(text) {
			t.Errorf("interface %q of %q", name, text)
		}
	})
}
