package audit

import (
	"log/slog"
	"time"
)

// Limits.
const (
	// MaxEntry is the most bytes of a line, without its newline. Longer texts are shortened.
	MaxEntry = 16 << 10
	// maxText is the most bytes of one text in an entry; less when that is still too much.
	maxText = 1 << 10
	// maxBatch is the most entries that share a write: the head lags by no more after a crash.
	maxBatch = 64
	// maxSegment and minSegment bound the bytes of a segment, which is
	// 1/segmentsInAll of Options.MaxSize.
	maxSegment    = 16 << 20
	minSegment    = 64 << 10
	segmentsInAll = 8
	// maxSeq is the highest number of an entry: what every JSON reader keeps exact.
	maxSeq = 1<<53 - 1
	// maxProblems is how many problems a report lists.
	maxProblems = 1000
)

// Event is what an entry is about.
type Event string

// Events.
const (
	Opened     Event = "open"
	Attached   Event = "attach"
	Watched    Event = "watch"
	Joined     Event = "join"
	Left       Event = "leave" // who watched or had joined
	Killed     Event = "kill"
	Refused    Event = "refused"
	Ended      Event = "end"
	Recorded   Event = "recorded"   // a recording is complete; see RecordedDetail
	Unrecorded Event = "unrecorded" // a recording failed; detail "file" names what there is of it
	Pruned     Event = "pruned"     // old segments or recordings were removed
	Started    Event = "start"      // the daemon
	Stopped    Event = "stop"       // the daemon
	Reloaded   Event = "reload"     // the configuration
	Torn       Event = "torn"       // the log's own: a half-written end was set aside
	Broken     Event = "broken"     // the log's own: entries that were there are not
)

// Entry is one line of the log. It holds no argument, no environment, no input
// and no output.
type Entry struct {
	Seq     uint64         `json:"seq"`
	Time    time.Time      `json:"time"` // UTC, RFC 3339 with milliseconds
	Prev    string         `json:"prev"` // SHA-256 of the line before, unpadded base64url
	Event   Event          `json:"event"`
	Session string         `json:"session,omitempty"`
	Source  string         `json:"source,omitempty"`
	Key     string         `json:"key,omitempty"` // ID and thumbprint of who did it
	Subject string         `json:"sub,omitempty"`
	Addr    string         `json:"addr,omitempty"`
	User    string         `json:"user,omitempty"` // account that the program runs as
	Reason  string         `json:"reason,omitempty"`
	Detail  map[string]any `json:"detail,omitempty"` // numbers are json.Number when read
}

// RecordedDetail is the detail of a [Recorded] entry about a file in the folder
// of recordings. [Verify] and the shipping read these names.
func RecordedDetail(file string, size int64, sha256 string) map[string]any {
	return map[string]any{"file": file, "size": size, "sha256": sha256}
}

// PrunedDetail is the detail of a [Pruned] entry about recordings that are
// removed. The entry comes before the removal. Up to 50 names are
// sure to fit into an entry.
func PrunedDetail(files ...string) map[string]any { return map[string]any{"files": files} }

// Options are of a log.
type Options struct {
	Dir     string // absolute; made when missing, 0700
	MaxSize int64  // bytes; 0: no limit. The log is never less than two segments of at least 64 KiB.
	Now     func() time.Time
	Log     *slog.Logger

	segment int64 // bytes of a segment; 0: from MaxSize
}

func (o *Options) fill() {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.segment == 0 {
		o.segment = maxSegment
		if o.MaxSize > 0 {
			o.segment = min(max(o.MaxSize/segmentsInAll, minSegment), maxSegment)
		}
	}
}
