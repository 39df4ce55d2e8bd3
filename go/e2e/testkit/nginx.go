//go:build linux

package testkit

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Nginx starts nginx in front of backend, with the example configuration that
// this repository ships (its address replaced) and its own certificate. It
// returns the address that nginx listens on.
func Nginx(t testing.TB, backend string) string {
	t.Helper()
	nginx, openssl := Need(t, "nginx"), Need(t, "openssl")
	dir := t.TempDir()
	location := filepath.Join(dir, "etcha.conf")
	shipped, err := os.ReadFile(filepath.Join("..", "..", "config", "nginx", "etcha.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(shipped), "https://127.0.0.1:4000/;") {
		t.Fatal("the shipped configuration does not pass to https://127.0.0.1:4000/")
	}
	adapted := strings.Replace(string(shipped), "127.0.0.1:4000", backend, 1)
	addr := FreeAddr(t, "127.0.0.1")
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;" // the folder is ours alone
	}
	main := fmt.Sprintf(`
%[4]s daemon off; worker_processes 1; pid %[1]s/nginx.pid; error_log %[1]s/error.log info;
events { worker_connections 512; }
http {
  access_log off;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  server {
    listen %[2]s ssl http2;
    ssl_certificate %[1]s/cert.pem; ssl_certificate_key %[1]s/key.pem;
    include %[3]s;
  }
}`, dir, addr, location, user)
	for name, text := range map[string]string{location: adapted, filepath.Join(dir, "nginx.conf"): main} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
		"-subj", "/CN=proxy", "-days", "2", "-keyout", dir+"/key.pem", "-out", dir+"/cert.pem").CombinedOutput()
	if err != nil {
		t.Fatalf("openssl: %v\n%s", err, out)
	}
	cmd := exec.Command(nginx, "-c", filepath.Join(dir, "nginx.conf"), "-p", dir)
	log := &Buffer{}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
		if t.Failed() {
			b, _ := os.ReadFile(filepath.Join(dir, "error.log"))
			t.Logf("nginx: %s%s", log, b)
		}
	})
	AwaitListener(t, addr)
	return addr
}

// FreeAddr is an address of host with a port that nobody listens on.
func FreeAddr(t testing.TB, host string) string {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// AwaitListener waits until something accepts connections at addr.
func AwaitListener(t testing.TB, addr string) {
	t.Helper()
	Eventually(t, "something listens on "+addr, func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
}
