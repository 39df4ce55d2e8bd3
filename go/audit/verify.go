package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Problem is something that is wrong, or to be known, about a log.
type Problem struct {
	File string `json:"file,omitempty"` // name of a segment or a recording
	Line int    `json:"line,omitempty"` // from 1
	Seq  uint64 `json:"seq,omitempty"`
	Text string `json:"text"`
}

// String is FILE:LINE: entry SEQ: TEXT, as far as they are known.
func (p Problem) String() string {
	s := p.Text
	if p.Seq > 0 {
		s = fmt.Sprintf("entry %d: %s", p.Seq, s)
	}
	if p.Line > 0 {
		return fmt.Sprintf("%s:%d: %s", p.File, p.Line, s)
	}
	if p.File != "" {
		return p.File + ": " + s
	}
	return s
}

// Report is what [Verify] found.
type Report struct {
	Entries    uint64    `json:"entries"`
	First      uint64    `json:"first,omitempty"` // numbers of the entries; 0: none
	Last       uint64    `json:"last,omitempty"`
	Head       string    `json:"head,omitempty"` // SEQ:HASH of the last entry, to be noted elsewhere
	Recordings int       `json:"recordings"`     // files that are what the log says
	Problems   []Problem `json:"problems"`
	Remarks    []Problem `json:"remarks,omitempty"` // what is no problem but good to know
	More       int       `json:"more,omitempty"`    // problems beyond those listed
}

// Good reports whether there is no problem.
func (r *Report) Good() bool { return len(r.Problems) == 0 }

func (r *Report) problem(p Problem) {
	if len(r.Problems) >= maxProblems {
		r.More++
		return
	}
	r.Problems = append(r.Problems, p)
}

func (r *Report) remark(p Problem) {
	if len(r.Remarks) < maxProblems {
		r.Remarks = append(r.Remarks, p)
	}
}

// VerifyOptions are of a verification.
type VerifyOptions struct {
	// Noted are heads that somebody noted elsewhere, out of reach of whoever may
	// have changed the log.
	Noted []Head
}

// Verify reads the whole log and, unless recordings is empty, the folder of
// recordings, and reports everything that is not as the node left it. A node may
// be writing meanwhile. The error says that they could not be read.
func Verify(dir, recordings string, o VerifyOptions) (Report, error) {
	const attempts = 3 // a segment may be pruned while the log is read
	for i := 1; ; i++ {
		v := &verifier{dir: dir, o: o, found: map[uint64]string{}}
		err := v.run(recordings)
		if errors.Is(err, fs.ErrNotExist) && i < attempts {
			if _, statErr := os.Stat(dir); statErr == nil {
				continue
			}
		}
		if err != nil {
			return Report{}, fmt.Errorf("verify the audit log: %w", err)
		}
		if v.live && i < attempts && v.files != nil && v.files.retry {
			continue // the node may have said it behind what was read
		}
		return v.Report, nil
	}
}

// place is where an entry stands.
type place struct {
	file string
	line int
	seq  uint64
}

func (p place) problem(format string, args ...any) Problem {
	return Problem{p.file, p.line, p.seq, fmt.Sprintf(format, args...)}
}

// verifier is one reading of a log.
type verifier struct {
	Report
	dir      string
	o        VerifyOptions
	head     Head // of the head's file
	headless bool
	live     bool              // somebody writes
	found    map[uint64]string // hashes of the entries that heads name

	at        place  // of the last entry
	hash      string // of the last line
	firstPrev string
	pruned    []prunedSegment
	files     *fileChecks // nil: recordings are not looked at
}

func (v *verifier) run(recordings string) error {
	v.live = locked(filepath.Join(v.dir, lockName))
	var err error
	// Before the log: what a node writes meanwhile is then behind it.
	v.head, err = readHead(v.dir)
	if v.headless = errors.Is(err, ErrNoHead); err != nil && !v.headless {
		return err
	}
	segments, err := segmentsIn(v.dir)
	if err != nil {
		return err
	}
	if recordings != "" {
		v.files = newFileChecks(recordings, v.live)
	}
	for i, s := range segments {
		if err := v.segment(s, i == len(segments)-1); err != nil {
			return err
		}
	}
	v.checkStart()
	v.checkHeads()
	v.Last = v.at.seq
	if v.Entries > 0 {
		v.Head = Head{v.at.seq, v.hash}.String()
	}
	if v.files == nil {
		return nil
	}
	return v.files.check(&v.Report)
}

// segment reads one file of the log.
func (v *verifier) segment(s segment, last bool) error {
	f, err := openFile(segmentPath(v.dir, s.first), os.O_RDONLY)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	at := place{file: segmentName(s.first)}
	for l := newLines(f, 0); ; {
		line, err := l.read()
		at.line++
		switch {
		case errors.Is(err, io.EOF):
			if at.line == 1 && !last {
				v.problem(Problem{File: at.file, Text: "the file is empty"})
			}
			if len(line) > 0 && !(last && v.live) {
				v.problem(place{at.file, at.line, 0}.problem("the line is torn: it has no end"))
			}
			return nil
		case err != nil && !errors.Is(err, errLong):
			return err
		}
		v.line(at, line, err, s)
	}
}

// line looks at one whole line; err is why it could not be read.
func (v *verifier) line(at place, line []byte, err error, s segment) {
	e, decodeErr := decode(line)
	if err = errors.Join(err, decodeErr); err != nil {
		if v.Entries > 0 {
			at.seq = v.at.seq + 1 // it stands in some entry's place
			v.at, v.hash = at, hashOf(line)
		}
		v.problem(at.problem("the line is not an entry"))
		return
	}
	at.seq = e.Seq
	if at.line == 1 && e.Seq != s.first {
		v.problem(at.problem("the file is named for entry %d", s.first))
	}
	if v.Entries == 0 {
		v.First, v.firstPrev = e.Seq, e.Prev
	} else {
		v.follow(at, e)
	}
	v.Entries++
	v.at, v.hash = at, hashOf(line)
	v.note(at, e)
}

// follow looks whether an entry follows from the line before it.
func (v *verifier) follow(at place, e Entry) {
	want := v.at.seq + 1
	switch {
	case e.Event == Broken && e.Seq > want && e.Prev == v.hash:
		v.problem(at.problem("the node found its log changed: %s missing", span(want, e.Seq-1)))
	case e.Seq > want:
		v.problem(at.problem("%s missing before it", span(want, e.Seq-1)))
	case e.Seq < want:
		v.problem(at.problem("it stands behind entry %d: inserted, repeated or moved", v.at.seq))
	case e.Prev != v.hash:
		v.problem(v.at.problem("it is not what the entry after it was chained to: one of the two was altered"))
	case e.Event == Broken:
		v.problem(at.problem("the node found its log changed: %s", e.Reason))
	}
}

// note keeps what later checks need of an entry.
func (v *verifier) note(at place, e Entry) {
	if e.Seq == v.head.Seq {
		v.found[e.Seq] = v.hash
	}
	for _, h := range v.o.Noted {
		if e.Seq == h.Seq {
			v.found[e.Seq] = v.hash
		}
	}
	switch e.Event {
	case Torn:
		v.remark(at.problem("a crash left a half-written end, which was set aside"))
	case Broken:
		if v.Entries == 1 { // else follow told it
			v.problem(at.problem("the node found its log changed: %s", e.Reason))
		}
	case Pruned:
		if p, ok := segmentDetail(e.Detail); ok {
			v.pruned = append(v.pruned, p)
		}
	}
	if v.files != nil {
		v.files.note(at, e)
	}
}

func segmentDetail(detail map[string]any) (p prunedSegment, ok bool) {
	b, err := json.Marshal(detail)
	if err != nil || json.Unmarshal(b, &p) != nil {
		return p, false
	}
	_, ok = parseSegment(p.File)
	return p, ok && isHash(p.Hash)
}

// checkStart wants the first entry to be the log's first, or a Pruned entry that
// names the one before it.
func (v *verifier) checkStart() {
	if v.Entries == 0 || v.First == 1 && v.firstPrev == "" {
		return
	}
	for _, p := range v.pruned {
		if p.Last+1 == v.First && p.Hash == v.firstPrev {
			v.remark(Problem{Text: fmt.Sprintf("entries up to %d were pruned, as the log says", p.Last)})
			return
		}
	}
	v.problem(Problem{Seq: v.First, Text: "entries before it are missing, and no entry says that they were pruned"})
}

// checkHeads compares the log with its head and with those noted elsewhere.
func (v *verifier) checkHeads() {
	last := v.at.seq
	switch {
	case v.headless && v.Entries == 0:
	case v.headless:
		v.problem(Problem{File: headName, Text: "the head is missing or damaged"})
	default:
		v.checkHead(v.head, "the head")
		if !v.live && last > v.head.Seq+maxBatch {
			v.problem(Problem{File: headName, Text: fmt.Sprintf("it names entry %d, but the log goes to %d: it is an old one", v.head.Seq, last)})
		}
	}
	for _, h := range v.o.Noted {
		v.checkHead(h, "the noted head")
	}
}

func (v *verifier) checkHead(h Head, what string) {
	hash, found := v.found[h.Seq]
	switch {
	case found && hash == h.Hash:
	case found:
		v.problem(Problem{Seq: h.Seq, Text: fmt.Sprintf("it is not the one that %s names: altered", what)})
	case h.Seq > v.at.seq:
		v.problem(Problem{Text: fmt.Sprintf("the end is cut: %s missing, as %s says", span(v.at.seq+1, h.Seq), what)})
	case h.Seq < v.First:
		v.remark(Problem{Text: fmt.Sprintf("%s names entry %d, which was pruned: they cannot be compared", what, h.Seq)})
	default:
		v.problem(Problem{Text: fmt.Sprintf("entry %d, which %s names, is missing", h.Seq, what)})
	}
}
