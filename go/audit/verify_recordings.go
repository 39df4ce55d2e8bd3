package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// recording is what the log says of one.
type recording struct {
	at      place
	session string
	size    int64
	sum     string // SHA-256, hex
}

// fileChecks compares a folder of recordings with the log.
type fileChecks struct {
	dir      string
	recorded map[string]recording // by file name
	excused  map[string]bool      // removed or failed, as the log says
	running  map[string]bool      // session: whether it still runs
	failed   map[string]bool      // sessions whose recording failed
	seen     bool                 // there is an entry
	pruned   bool                 // the log does not begin with its first entry
	live     bool                 // a node writes
	start    time.Time            // of the verification
	retry    bool                 // a node that writes may just be about to explain a problem
}

func newFileChecks(dir string, live bool) *fileChecks {
	return &fileChecks{
		dir: dir, live: live, start: time.Now().Add(-clockStep),
		recorded: map[string]recording{}, excused: map[string]bool{}, running: map[string]bool{}, failed: map[string]bool{},
	}
}

// recordingSuffix is of a recording's name. Others in the folder are not judged:
// what a recorder keeps beside one that it writes.
const recordingSuffix = ".cast"

// clockStep is more than what the times of files are coarser than the clock.
const clockStep = time.Second

// note keeps what an entry says about recordings and about sessions.
func (c *fileChecks) note(at place, e Entry) {
	if !c.seen {
		c.seen, c.pruned = true, e.Seq > 1
	}
	switch e.Event {
	case Opened:
		c.running[e.Session] = true
	case Ended:
		c.running[e.Session] = false
	case Recorded:
		if r, ok := ParseRecorded(e); ok {
			c.recorded[r.File] = recording{at, e.Session, r.Size, r.SHA256}
			delete(c.excused, r.File)
		}
	case Unrecorded, Pruned:
		if e.Event == Unrecorded {
			c.failed[e.Session] = true
		}
		for _, name := range fileNames(e.Detail) {
			c.excused[name] = true
		}
	}
}

// fileNames are the names in a detail's "file" and "files".
func fileNames(detail map[string]any) []string {
	var names []string
	if name, ok := detail["file"].(string); ok {
		names = append(names, name)
	}
	list, _ := detail["files"].([]any)
	for _, v := range list {
		if name, ok := v.(string); ok {
			names = append(names, name)
		}
	}
	return names
}

// RecordedFile is the detail of a [Recorded] entry.
type RecordedFile struct {
	File   string // name in the folder of recordings
	Size   int64  // bytes
	SHA256 string // hex
}

// ParseRecorded reads the detail of a [Recorded] entry that was read from a log.
// It refuses a name that is not a plain one.
func ParseRecorded(e Entry) (RecordedFile, bool) {
	file, _ := e.Detail["file"].(string)
	sum, _ := e.Detail["sha256"].(string)
	number, ok := e.Detail["size"].(interface{ Int64() (int64, error) })
	if e.Event != Recorded || !ok || file == "" || file == "." || file != filepath.Base(file) || !filepath.IsLocal(file) {
		return RecordedFile{}, false
	}
	size, err := number.Int64()
	return RecordedFile{file, size, sum}, err == nil
}

// check looks at every recording that the log or the folder has.
func (c *fileChecks) check(r *Report) error {
	names := make([]string, 0, len(c.recorded))
	for name := range c.recorded {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return int(c.recorded[a].at.seq) - int(c.recorded[b].at.seq) })
	for _, name := range names {
		if err := c.checkRecorded(r, name); err != nil {
			return err
		}
	}
	entries, err := os.ReadDir(c.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, known := c.recorded[e.Name()]; !known && !c.excused[e.Name()] && e.Type().IsRegular() && filepath.Ext(e.Name()) == recordingSuffix {
			c.checkUnknown(r, e)
		}
	}
	return nil
}

func (c *fileChecks) checkRecorded(r *Report, name string) error {
	rec := c.recorded[name]
	size, sum, err := hashFile(filepath.Join(c.dir, name))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if !c.excused[name] {
			c.retry = true
			r.problem(rec.at.problem("its recording %s is missing", name))
		}
	case errors.Is(err, fs.ErrPermission):
		return err
	case err != nil:
		r.problem(rec.at.problem("its recording %s cannot be read: %v", name, err))
	case size < rec.size:
		r.problem(rec.at.problem("its recording %s is truncated: %d of %d bytes", name, size, rec.size))
	case size != rec.size || sum != rec.sum:
		r.problem(rec.at.problem("its recording %s was altered", name))
	default:
		r.Recordings++
	}
	return nil
}

// hashFile gives a file's size and the SHA-256 of its content, in hex.
func hashFile(path string) (size int64, sum string, err error) {
	f, err := openFile(path, os.O_RDONLY)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	size, err = io.Copy(h, f)
	return size, hex.EncodeToString(h.Sum(nil)), err
}

// checkUnknown judges a file that no entry names: that of a session that runs, or
// whose recording failed, is as it should be.
func (c *fileChecks) checkUnknown(r *Report, e fs.DirEntry) {
	session, running, known := c.sessionOf(e.Name())
	info, err := e.Info()
	switch {
	case err != nil: // removed meanwhile
	case known && (running || c.failed[session]):
	case known:
		c.retry = true
		r.problem(Problem{File: e.Name(), Text: fmt.Sprintf("no entry names this recording, but its session %s has ended", session)})
	case c.live && info.ModTime().After(c.start): // of a session that began meanwhile
	case c.pruned:
		r.remark(Problem{File: e.Name(), Text: "what is left of the log does not know this file: its session may have begun before that"})
	default:
		r.problem(Problem{File: e.Name(), Text: "no entry names this file or its session"})
	}
}

// sessionOf finds the session whose ID a file's name has as one of its words.
func (c *fileChecks) sessionOf(name string) (session string, running, known bool) {
	stem := strings.TrimSuffix(name, recordingSuffix)
	for {
		if running, known = c.running[stem]; known {
			return stem, running, true
		}
		// IDs may have - and _ themselves: shorten from the front, a word at a time.
		next := strings.IndexAny(stem, "-_.")
		if next < 0 {
			return "", false, false
		}
		stem = stem[next+1:]
	}
}
