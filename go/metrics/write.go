package metrics

import (
	"bytes"
	"fmt"
	"io"

	"github.com/prometheus/common/expfmt"
)

// ContentType is the type that [Metrics.Write] answers a request with this
// Accept header with: Prometheus' text format, OpenMetrics, or protobuf when
// asked for.
func ContentType(accept string) string { return string(negotiate(accept)) }

func negotiate(accept string) expfmt.Format {
	return expfmt.NegotiateAccept(map[string][]string{"Accept": {accept}}, // an http.Header
		expfmt.FmtText, expfmt.FmtOpenMetrics_1_0_0, expfmt.FmtOpenMetrics_0_0_1)
}

// Write writes all metrics in the format that accept, an HTTP Accept header,
// asks for, and gives its content type. On an error of collecting, nothing has
// been written.
func (m *Metrics) Write(w io.Writer, accept string) (contentType string, err error) {
	format := negotiate(accept)
	families, err := m.registry.Gather()
	if err != nil {
		return "", fmt.Errorf("collect metrics: %w", err)
	}
	var body bytes.Buffer
	enc := expfmt.NewEncoder(&body, format)
	for _, f := range families {
		if err := enc.Encode(f); err != nil {
			return "", fmt.Errorf("encode metric %s: %w", f.GetName(), err)
		}
	}
	if c, ok := enc.(expfmt.Closer); ok {
		if err := c.Close(); err != nil {
			return "", fmt.Errorf("encode metrics: %w", err)
		}
	}
	if _, err := w.Write(body.Bytes()); err != nil {
		return "", fmt.Errorf("write metrics: %w", err)
	}
	return string(format), nil
}
