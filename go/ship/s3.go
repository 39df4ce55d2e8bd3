package ship

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"etcha/go/audit"
	"etcha/go/errs"
)

// bucket is an S3-compatible store's. Objects are named by what they hold, so
// that one which is sent twice is the same one:
//
//	PREFIX/NODE/audit/FIRST-LAST.jsonl   entries, a line each
//	PREFIX/NODE/recordings/FILE
type bucket struct {
	client *minio.Client
	name   string
	prefix string // with the node, without a slash at the end
	idle   func() // closes idle connections
}

func newBucket(o Options) (*bucket, error) {
	u, err := url.Parse(o.S3.Endpoint)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return nil, errors.New("endpoint: write https://host or https://host:port")
	}
	if o.S3.Bucket == "" {
		return nil, errors.New("bucket: missing")
	}
	if (o.S3.AccessKey == "") != (o.S3.SecretKey == "") {
		return nil, errors.New("accessKey and secretKey belong together")
	}
	transport, err := minio.DefaultTransport(u.Scheme == "https")
	if err != nil {
		return nil, err
	}
	transport.ResponseHeaderTimeout = sendTimeout
	if o.S3.CAFile != "" && transport.TLSClientConfig != nil {
		if transport.TLSClientConfig.RootCAs, err = readCA(o.S3.CAFile); err != nil {
			return nil, fmt.Errorf("caFile: %w", err)
		}
	}
	client, err := minio.New(u.Host, &minio.Options{
		Creds: s3Credentials(o.S3), Secure: u.Scheme == "https", Transport: transport, Region: o.S3.Region,
		MaxRetries: 1, // the runner repeats
	})
	if err != nil {
		return nil, err
	}
	prefix := strings.Trim(path.Join(strings.Trim(o.S3.Prefix, "/"), objectName(o.Node)), "/")
	return &bucket{client, o.S3.Bucket, prefix, transport.CloseIdleConnections}, nil
}

func s3Credentials(o S3) *credentials.Credentials {
	if o.AccessKey != "" {
		return credentials.NewStaticV4(o.AccessKey, o.SecretKey, "")
	}
	return credentials.NewChainCredentials([]credentials.Provider{&credentials.EnvAWS{}, &credentials.IAM{}})
}

// objectName is a node ID as a part of an object's name: base64 becomes base64url,
// and what is left that not every store takes becomes -.
func objectName(s string) string {
	s = strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(s)
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' {
			return r
		}
		return '-'
	}, s)
	if s == "" {
		return "node"
	}
	return s
}

// statusForbidden is HTTP's. Stores differ in the codes that come with it.
const statusForbidden = 403

// explain makes a store's refusal say what to do about it.
func (b *bucket) explain(object string, err error) error {
	hint := ""
	response := minio.ToErrorResponse(err)
	switch response.Code {
	case "InvalidAccessKeyId", "XAdminUserNotFound": // the latter is versitygw's
		hint = "the store does not know the access key: check run.ship.s3.accessKey"
	case "SignatureDoesNotMatch":
		hint = "the secret does not belong to the access key: check run.ship.s3.secretKey"
	case "AccessDenied", "AllAccessDisabled":
		hint = "the access key may not write there: it needs s3:PutObject"
	case "NoSuchBucket":
		hint = "make the bucket, or check run.ship.s3.bucket"
	default:
		if response.StatusCode == statusForbidden {
			hint = "the store refuses the access key: check run.ship.s3.accessKey and secretKey"
		}
	}
	if hint == "" {
		return fmt.Errorf("send %s to bucket %s: %w", object, b.name, err)
	}
	return &errs.Error{Text: fmt.Sprintf("send %s to bucket %s: %s", object, b.name, hint), Err: err}
}

// entrySink sends entries, a batch in an object.
type entrySink struct{ *bucket }

func (s *entrySink) close() { s.idle() }

func (s *entrySink) send(ctx context.Context, items []item) (int, error) {
	var b bytes.Buffer
	for _, it := range items {
		b.Write(it.line)
		b.WriteByte('\n')
	}
	object := fmt.Sprintf("%s/audit/%016d-%016d.jsonl", s.prefix, items[0].entry.Seq, items[len(items)-1].entry.Seq)
	_, err := s.client.PutObject(ctx, s.name, object, &b, int64(b.Len()), minio.PutObjectOptions{
		ContentType: "application/x-ndjson", SendContentMd5: true, DisableMultipart: true,
	})
	if err != nil {
		return 0, s.explain(object, err)
	}
	return len(items), nil
}

// recordingSink sends the recordings that entries name.
type recordingSink struct {
	*bucket
	dir string
	log *slog.Logger
}

func (s *recordingSink) close() { s.idle() }

// partSize bounds the memory that a recording's transfer takes.
const partSize = 16 << 20

func (s *recordingSink) send(ctx context.Context, items []item) (int, error) {
	rec, ok := audit.ParseRecorded(items[0].entry)
	if !ok {
		s.log.Warn("an entry about a recording names none", "seq", items[0].entry.Seq)
		return 1, nil
	}
	f, err := openRegular(filepath.Join(s.dir, rec.File))
	if errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("a recording was removed before it was sent", "file", rec.File, "session", items[0].entry.Session)
		return 1, nil
	}
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	object := s.prefix + "/recordings/" + rec.File
	if err := s.upload(ctx, object, f, rec); err != nil {
		return 0, s.explain(object, err)
	}
	return 1, nil
}

func (s *recordingSink) upload(ctx context.Context, object string, f *os.File, rec audit.RecordedFile) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	_, err = s.client.PutObject(ctx, s.name, object, f, info.Size(), minio.PutObjectOptions{
		ContentType: "application/x-asciicast", SendContentMd5: true, PartSize: partSize, NumThreads: 1,
		UserMetadata: map[string]string{"etcha-sha256": rec.SHA256},
	})
	return err
}

// openRegular opens a file that is one, and no link to another.
func openRegular(path string) (*os.File, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("open %s: not a regular file", path)
	}
	return os.Open(path)
}
