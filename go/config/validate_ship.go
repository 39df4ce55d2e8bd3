package config

import (
	"errors"
	"net"
	"net/url"
	"strings"
)

// ship checks where audit entries and recordings are sent.
func (v *validator) ship() {
	s := v.c.Run.Ship
	if s.Syslog != "" {
		v.add(syslogURL(s.Syslog), "run", "ship", "syslog")
	}
	v.s3(s.S3)
	if s.Required && !s.Journald && s.Syslog == "" && s.S3 == (S3{}) {
		v.add(errors.New("nothing is sent anywhere; set journald, syslog or s3 too"), "run", "ship", "required")
	}
}

func (v *validator) s3(s S3) {
	if s == (S3{}) {
		return
	}
	at := []string{"run", "ship", "s3"}
	if s.Endpoint == "" {
		v.missing(errors.New("an endpoint is needed"), "endpoint", at...)
	} else {
		v.add(endpointURL(s.Endpoint), below(at, "endpoint")...)
	}
	if s.Bucket == "" {
		v.missing(errors.New("a bucket is needed"), "bucket", at...)
	}
	if s.AccessKey != "" && s.SecretKey == "" {
		v.add(errors.New("secretKey is needed too"), below(at, "accessKey")...)
	}
	if s.SecretKey != "" && s.AccessKey == "" {
		v.add(errors.New("accessKey is needed too"), below(at, "secretKey")...)
	}
}

// syslogURL checks the URL of a syslog server.
func syslogURL(s string) error {
	u, err := url.Parse(s)
	if err == nil && u.User == nil && (u.RawQuery == "" || u.Scheme == "tls" && onlyCA(u.RawQuery)) && u.Fragment == "" {
		switch u.Scheme {
		case "udp", "tcp", "tls":
			if hostPort(u.Host) && (u.Path == "" || u.Path == "/") {
				return nil
			}
		case "unix":
			if u.Host == "" && strings.HasPrefix(u.Path, "/") && u.Path != "/" {
				return nil
			}
		}
	}
	return errors.New("not a syslog server: write udp://host:514, tcp://host:port, tls://host:6514 or unix:///dev/log")
}

func hostPort(s string) bool {
	host, port, err := net.SplitHostPort(s)
	return err == nil && host != "" && port != "0" && portNumber(port) == nil
}

// onlyCA accepts the one option that a URL has: ca, a file of authorities.
func onlyCA(query string) bool {
	q, err := url.ParseQuery(query)
	return err == nil && len(q) == 1 && len(q["ca"]) == 1 && strings.HasPrefix(q.Get("ca"), "/")
}

// endpointURL checks the URL of an S3-compatible store. What is wrong with it is
// said without it: it may hold a password.
func endpointURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" {
		return errors.New("not the URL of a store: write one such as https://s3.example.com")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return errors.New("only scheme, host and port; bucket, prefix and keys have settings of their own")
	}
	return nil
}
