package record

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// staleState is the age from which a state file without its recording is removed.
const staleState = time.Hour

// Entry is a recording in its folder.
type Entry struct {
	File     string    // name in the folder
	Session  string    // ID
	Source   string    // as the file name has it
	Started  time.Time // to the second
	Modified time.Time
	Size     int64 // bytes
	// Finished is false while it is written, and when who wrote it died and
	// nobody has gone on with it yet.
	Finished bool
}

// List is the recordings in a folder, the newest first. Other files are passed
// over. A folder that is missing has none.
func List(dir string) ([]Entry, error) {
	names, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list recordings: %w", err)
	}
	open := map[string]bool{}
	for _, n := range names {
		if cast, ok := strings.CutSuffix(n.Name(), stateSuffix); ok {
			open[cast] = true
		}
	}
	var all []Entry
	for _, n := range names {
		started, source, session, ok := parseName(n.Name())
		if !ok || !n.Type().IsRegular() {
			continue
		}
		info, err := n.Info()
		if err != nil { // removed meanwhile
			continue
		}
		all = append(all, Entry{
			File: n.Name(), Session: session, Source: source, Started: started,
			Modified: info.ModTime(), Size: info.Size(), Finished: !open[n.Name()],
		})
	}
	slices.SortStableFunc(all, func(a, b Entry) int {
		if c := b.Started.Compare(a.Started); c != 0 {
			return c
		}
		return strings.Compare(b.File, a.File)
	})
	return all, nil
}

// AmbiguousError means that several recordings begin with what was asked for.
type AmbiguousError struct {
	Name  string
	Found []Entry // the newest first
}

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("%d recordings begin with %q", len(e.Found), e.Name)
}

// Find is the recording of a session, or the one whose session ID or file name
// begins with name. The error is fs.ErrNotExist or an [AmbiguousError].
func Find(dir, name string) (Entry, error) {
	all, err := List(dir)
	if err != nil {
		return Entry{}, err
	}
	for _, e := range all { // several of one session: the newest
		if name == e.Session || name == e.File {
			return e, nil
		}
	}
	var found []Entry
	for _, e := range all {
		if name != "" && (strings.HasPrefix(e.Session, name) || strings.HasPrefix(e.File, name)) {
			found = append(found, e)
		}
	}
	switch len(found) {
	case 0:
		return Entry{}, fmt.Errorf("recording %q in %s: %w", name, dir, fs.ErrNotExist)
	case 1:
		return found[0], nil
	default:
		return Entry{}, &AmbiguousError{Name: name, Found: found}
	}
}

// Prune removes recordings that were last written to more than maxAge before
// now (0: none for its age), and then the oldest until all together are not
// larger than maxSize bytes (0: no limit). One that is being written stays; one
// that was left unfinished does not, so sessions have to be resumed before. It
// returns what it has removed also with an error.
func Prune(dir string, maxAge time.Duration, maxSize int64, now time.Time, before func(Entry)) (removed []Entry, err error) {
	all, err := List(dir)
	if err != nil {
		return nil, err
	}
	var total int64
	for _, e := range all {
		total += e.Size
	}
	var failed []error
	for _, e := range slices.Backward(all) {
		old := maxAge > 0 && now.Sub(e.Modified) > maxAge
		if !old && (maxSize <= 0 || total <= maxSize) {
			continue
		}
		switch err := remove(dir, e, before); {
		case err == nil:
			removed = append(removed, e)
			total -= e.Size
		case !errors.Is(err, ErrBusy) && !errors.Is(err, fs.ErrNotExist):
			failed = append(failed, err)
		}
	}
	failed = append(failed, removeStale(dir, now))
	if err := errors.Join(failed...); err != nil {
		return removed, fmt.Errorf("remove recordings: %w", err)
	}
	return removed, nil
}

// remove removes a recording that nobody writes.
func remove(dir string, e Entry, before func(Entry)) error {
	f, err := openFile(filepath.Join(dir, e.File), os.O_RDWR)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := lock(f); err != nil {
		return err
	}
	if before != nil {
		before(e)
	}
	return errors.Join(os.Remove(f.Name()), removeState(dir, e.File))
}

// removeStale removes state files whose recordings are gone.
func removeStale(dir string, now time.Time) error {
	names, err := os.ReadDir(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	var failed []error
	for _, n := range names {
		cast, ok := strings.CutSuffix(n.Name(), stateSuffix)
		if _, _, _, ours := parseName(cast); !ok || !ours {
			continue
		}
		info, err := n.Info()
		if err != nil || now.Sub(info.ModTime()) < staleState {
			continue
		}
		if _, err := os.Lstat(filepath.Join(dir, cast)); errors.Is(err, fs.ErrNotExist) {
			failed = append(failed, removeState(dir, cast))
		}
	}
	return errors.Join(failed...)
}

// removeState removes the state file of a recording, where there is one.
func removeState(dir, cast string) error {
	err := os.Remove(filepath.Join(dir, cast+stateSuffix))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
