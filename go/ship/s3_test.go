package ship

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"etcha/go/audit"
)

const (
	accessKey = "tester"
	secretKey = "a-secret-of-the-test"
)

// gateway finds versitygw, a real S3 server over a folder: by the variable
// VERSITYGW or in PATH. Without it a test is skipped on a person's machine and
// fails in continuous integration.
func gateway(t *testing.T) string {
	t.Helper()
	path := os.Getenv("VERSITYGW")
	if path == "" {
		path = "versitygw"
	}
	path, err := exec.LookPath(path)
	if err == nil {
		return path
	}
	if os.Getenv("CI") != "" {
		t.Fatal("versitygw is not installed")
	}
	t.Skip("SKIPPED: versitygw is not installed: go install github.com/versity/versitygw/cmd/versitygw@v1.8.0")
	return ""
}

// store is a running S3 server.
type store struct {
	t       *testing.T
	program string
	dir     string
	sidecar string // for file systems without extended attributes
	addr    string
	tls     []string // flags
	ca      string
	cmd     *exec.Cmd
	client  *minio.Client
	stopped bool
}

func newStore(t *testing.T, secure bool) *store {
	t.Helper()
	s := &store{t: t, program: gateway(t), dir: t.TempDir(), sidecar: t.TempDir()}
	l := listen(t, "tcp", "127.0.0.1:0")
	s.addr = l.Addr().String()
	_ = l.Close()
	if secure {
		s.secure()
	}
	transport, err := minio.DefaultTransport(secure)
	if err != nil {
		t.Fatal(err)
	}
	if secure {
		transport.TLSClientConfig.RootCAs, err = readCA(s.ca)
		if err != nil {
			t.Fatal(err)
		}
	}
	s.client, err = minio.New(s.addr, &minio.Options{Creds: credentials.NewStaticV4(accessKey, secretKey, ""), Secure: secure, Transport: transport, Region: "us-east-1"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { transport.CloseIdleConnections(); s.stop() })
	s.start()
	if err := s.client.MakeBucket(context.Background(), "logs", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	return s
}

// secure makes the server's certificate.
func (s *store) secure() {
	cert, ca := certificate(s.t)
	key, err := x509.MarshalECPrivateKey(cert.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		s.t.Fatal(err)
	}
	path := filepath.Join(s.t.TempDir(), "key.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: key}), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.ca, s.tls = ca, []string{"--cert", ca, "--key", path}
}

func (s *store) start() {
	s.t.Helper()
	args := append([]string{"--access", accessKey, "--secret", secretKey, "--port", s.addr, "--region", "us-east-1", "--quiet"}, s.tls...)
	s.cmd = exec.Command(s.program, append(args, "posix", "--sidecar", s.sidecar, s.dir)...)
	var said bytes.Buffer
	s.cmd.Stdout, s.cmd.Stderr = &said, &said
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.stopped = false
	until(s.t, "the store listens", func() bool {
		conn, err := net.Dial("tcp", s.addr)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

func (s *store) stop() {
	if s.stopped {
		return
	}
	s.stopped = true
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

func (s *store) options(o *Options) {
	scheme := "http://"
	if s.tls != nil {
		scheme = "https://"
	}
	o.S3 = S3{Endpoint: scheme + s.addr, Region: "us-east-1", Bucket: "logs", Prefix: "/fleet/", AccessKey: accessKey, SecretKey: secretKey, CAFile: s.ca}
}

// objects are what the bucket has, by name.
func (s *store) objects() map[string]string {
	s.t.Helper()
	all := map[string]string{}
	for info := range s.client.ListObjects(context.Background(), "logs", minio.ListObjectsOptions{Recursive: true}) {
		if info.Err != nil {
			s.t.Fatal(info.Err)
		}
		object, err := s.client.GetObject(context.Background(), "logs", info.Key, minio.GetObjectOptions{})
		if err != nil {
			s.t.Fatal(err)
		}
		b, err := io.ReadAll(object)
		_ = object.Close()
		if err != nil {
			s.t.Fatal(err)
		}
		all[info.Key] = string(b)
	}
	return all
}

// record writes a recording and its entry.
func (b *bed) record(name string, content []byte) uint64 {
	b.t.Helper()
	if err := os.MkdirAll(b.o.RecordingsDir, 0o700); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.o.RecordingsDir, name), content, 0o600); err != nil {
		b.t.Fatal(err)
	}
	e, err := b.log.Append(audit.Entry{Event: audit.Recorded, Session: "s", Detail: audit.RecordedDetail(name, int64(len(content)), "00ff")})
	if err != nil {
		b.t.Fatal(err)
	}
	if b.s != nil {
		b.s.Poke()
	}
	return e.Seq
}

func TestStore(t *testing.T) {
	for _, secure := range []bool{false, true} {
		t.Run(map[bool]string{false: "http", true: "https"}[secure], func(t *testing.T) {
			s := newStore(t, secure)
			b := newBed(t, s.options)
			b.add(3)
			small, large := []byte("a small recording"), bytes.Repeat([]byte("0123456789abcdef"), 20<<16) // 20 MiB: in two parts
			b.record("small.cast", small)
			b.record("large.cast", large)
			b.start()
			b.arrive(5)
			until(t, "the recordings", func() bool { return b.s.Backlog()[toRecordings] == 0 })
			b.arrive(b.add(2))
			b.stop()
			got := s.objects()
			lines := b.lines()
			const prefix = "fleet/SHA256-ab-_cd/"
			for name, want := range map[string]string{
				prefix + "audit/0000000000000001-0000000000000005.jsonl": strings.Join(lines[:5], "\n") + "\n",
				prefix + "recordings/small.cast":                         string(small),
				prefix + "recordings/large.cast":                         string(large),
			} {
				if got[name] != want {
					t.Errorf("%s: %d bytes, want %d", name, len(got[name]), len(want))
				}
			}
			var all strings.Builder
			for seq := 1; seq <= len(lines); {
				object, last := batchFrom(got, prefix, seq)
				if last == 0 {
					t.Fatalf("no object begins with entry %d: %v", seq, names(got))
				}
				all.WriteString(object)
				seq = last + 1
			}
			if all.String() != strings.Join(lines, "\n")+"\n" {
				t.Error("the objects together are not the log")
			}
		})
	}
}

func batchFrom(all map[string]string, prefix string, seq int) (object string, last int) {
	for name, content := range all {
		var from, to int
		if n, _ := fmt.Sscanf(name, prefix+"audit/%d-%d.jsonl", &from, &to); n == 2 && from == seq {
			return content, to
		}
	}
	return "", 0
}

func names(all map[string]string) (list []string) {
	for name := range all {
		list = append(list, name)
	}
	return list
}

func TestStoreComesBack(t *testing.T) {
	s := newStore(t, false)
	s.stop()
	failures := make(chan string, 1000)
	b := newBed(t, s.options)
	b.o.Failed = func(d string) {
		select {
		case failures <- d:
		default:
		}
	}
	b.start()
	b.add(2)
	b.record("r.cast", []byte("recording"))
	seen := map[string]bool{}
	for len(seen) < 2 {
		seen[<-failures] = true
	}
	if !seen[toStore] || !seen[toRecordings] || b.s.Backlog()[toStore] != 3 {
		t.Errorf("failed: %v, backlog %v", seen, b.s.Backlog())
	}
	s.start()
	b.arrive(3)
	until(t, "the recording", func() bool { return b.s.Backlog()[toRecordings] == 0 })
	b.stop()
	if got := s.objects(); len(got) < 2 || got["fleet/SHA256-ab-_cd/recordings/r.cast"] != "recording" {
		t.Errorf("%v", names(got))
	}
}

func TestStoreRefuses(t *testing.T) {
	s := newStore(t, false)
	for _, c := range []struct {
		name, want string
		set        func(*S3)
	}{
		{"access key", "check run.ship.s3.accessKey", func(o *S3) { o.AccessKey = "nobody" }},
		{"secret", "check run.ship.s3.secretKey", func(o *S3) { o.SecretKey = "wrong-secret-of-the-test" }},
		{"bucket", "check run.ship.s3.bucket", func(o *S3) { o.Bucket = "none" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			failures := make(chan string, 1000)
			b := newBed(t, s.options)
			b.o.Failed = func(d string) { failures <- d }
			c.set(&b.o.S3)
			b.start()
			b.add(1)
			<-failures
			b.stop()
			if said := b.said.String(); !strings.Contains(said, c.want) || strings.Contains(said, "secret-of-the-test") {
				t.Errorf("%s", said)
			}
		})
	}
}

// A store that accepts and never answers holds an attempt only.
func TestStoreHangs(t *testing.T) {
	release := make(chan struct{})
	hanging := serve(listen(t, "tcp", "127.0.0.1:0"), func(net.Conn) { <-release })
	failures := make(chan string, 1000)
	b := newBed(t, func(o *Options) {
		o.S3 = S3{Endpoint: "http://" + hanging.l.Addr().String(), Region: "x", Bucket: "logs", AccessKey: "a", SecretKey: "b"}
		o.timeout, o.Failed = sendTimeout/600, func(d string) { failures <- d }
	})
	b.start()
	b.add(1)
	<-failures
	b.stop()
	close(release)
	hanging.close()
}

// A recording that was removed or is a link does not stop those behind it.
func TestRecordingsThatAreGone(t *testing.T) {
	var puts collector
	l := listen(t, "tcp", "127.0.0.1:0")
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		puts.add(r.URL.Path)
		w.Header().Set("ETag", `"x"`)
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(l) }()
	defer func() { _ = server.Close(); <-done }()
	b := newBed(t, func(o *Options) {
		o.S3 = S3{Endpoint: "http://" + l.Addr().String(), Region: "x", Bucket: "logs", AccessKey: "a", SecretKey: "b"}
	})
	b.record("gone.cast", nil)
	if err := os.Remove(filepath.Join(b.o.RecordingsDir, "gone.cast")); err != nil {
		t.Fatal(err)
	}
	b.record("kept.cast", []byte("x"))
	b.start()
	until(t, "the recordings", func() bool { return b.s.Backlog()[toRecordings] == 0 })
	b.stop()
	got := strings.Join(puts.got(), " ")
	if !strings.Contains(got, "/recordings/kept.cast") || strings.Contains(got, "gone.cast") || !strings.Contains(b.said.String(), "removed before it was sent") {
		t.Errorf("%s\n%s", got, b.said)
	}
}

func TestStoreOptions(t *testing.T) {
	good := S3{Endpoint: "https://s3.example.com", Bucket: "logs", AccessKey: "a", SecretKey: "b"}
	for name, change := range map[string]func(*S3){
		"no endpoint": func(o *S3) { o.Endpoint = "" }, "no scheme": func(o *S3) { o.Endpoint = "host:9000" },
		"path": func(o *S3) { o.Endpoint += "/x" }, "password": func(o *S3) { o.Endpoint = "https://u:canary@h" },
		"no bucket": func(o *S3) { o.Bucket = "" }, "half a key": func(o *S3) { o.SecretKey = "" },
		"no such CA": func(o *S3) { o.CAFile = "/none" },
	} {
		o := good
		change(&o)
		if _, err := New(Options{AuditDir: "/a", CursorDir: "/c", S3: o}); err == nil || !strings.Contains(err.Error(), "run.ship.s3") || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(Options{AuditDir: "/a", CursorDir: "/c", S3: good}); err != nil {
		t.Error(err)
	}
}
