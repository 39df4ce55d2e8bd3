//go:build linux

package e2e

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"etcha/go/e2e/testkit"
)

func dump(t *testing.T, name string, records []testkit.Packet, p *typist) {
	if os.Getenv("RHYTHM_DUMP") == "" {
		return
	}
	type rec struct {
		At   int64
		Size int
		Up   bool
	}
	var rs []rec
	for _, r := range records {
		rs = append(rs, rec{r.At.UnixNano(), r.Size, r.Up})
	}
	ns := func(ts []time.Time) (out []int64) {
		for _, x := range ts {
			out = append(out, x.UnixNano())
		}
		return
	}
	b, _ := json.Marshal(map[string]any{"records": rs, "keys": ns(p.keys), "others": ns(p.others())})
	os.WriteFile(os.Getenv("RHYTHM_DUMP")+"/"+t.Name()[17:]+".json", b, 0o600)
}
