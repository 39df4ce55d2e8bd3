package record

import (
	"strings"
	"time"
	"unicode"
)

// Length is how long the playback is. It reads the whole recording.
func (p *Player) Length() (time.Duration, error) {
	scan, err := p.scanner()
	if err != nil {
		return 0, err
	}
	scan.reader.timesOnly = true
	for !scan.atEnd {
		scan.drawn = scan.next.Time
		if err := scan.read(); err != nil {
			return 0, err
		}
	}
	return scan.drawn, nil
}

// Find goes to the next place, or the previous one, where the output says what
// is looked for, on one line and as it was written to it. Capitals count only
// where there are some in what is looked for. It reports whether there is one;
// where there is none, nothing changes.
func (p *Player) Find(what string, forward bool) (bool, error) {
	if what == "" {
		return false, nil
	}
	found, err := p.match(what, forward)
	if err != nil || found == 0 {
		return false, err
	}
	if found < p.shown {
		err = p.restart()
	}
	if err == nil {
		err = p.until(func() bool { return p.shown >= found })
	}
	p.pos, p.since = p.drawn, p.o.Now()
	return true, err
}

// match is how many events there are up to the match; 0: none.
func (p *Player) match(what string, forward bool) (int, error) {
	scan, err := p.scanner()
	if err != nil {
		return 0, err
	}
	s := newSearch(what)
	found := 0
	for !scan.atEnd && (found == 0 || !forward) {
		e := scan.next
		scan.shown++
		if e.Code == Output && s.feed(e.Data) {
			switch {
			case forward && scan.shown > p.shown:
				found = scan.shown
			case !forward && scan.shown < p.shown:
				found = scan.shown
			}
		}
		if !forward && scan.shown >= p.shown {
			break
		}
		if err := scan.read(); err != nil {
			return 0, err
		}
	}
	return found, nil
}

// scanner is a player of the same recording that shows nothing.
func (p *Player) scanner() (*Player, error) {
	scan := &Player{src: p.src, o: p.o, meta: p.meta}
	return scan, scan.rewind()
}

// search looks for text in output.
type search struct {
	seq  sequences
	what []rune
	fold bool
	line []rune // as much of the present line as may still match
	hit  bool
}

func newSearch(what string) *search {
	return &search{what: []rune(what), fold: !strings.ContainsFunc(what, unicode.IsUpper)}
}

// feed reports whether a match ends in text.
func (s *search) feed(text string) bool {
	s.hit = false
	s.seq.feed(text, s.piece)
	return s.hit
}

func (s *search) piece(p *piece) {
	switch {
	case p.kind == kindText:
		s.put(p.char)
	case p.kind == kindControl && p.char == '\b':
		s.line = s.line[:max(len(s.line)-1, 0)]
	case p.kind == kindControl && p.char == '\t':
		s.put(' ')
	case p.kind == kindControl && p.char != '\a', p.kind == kindCSI && strings.IndexByte("ABEFGHJdf`", p.final) >= 0:
		s.line = s.line[:0] // elsewhere
	}
}

func (s *search) put(r rune) {
	if s.fold {
		r = unicode.ToLower(r)
	}
	s.line = append(s.line, r)
	if len(s.line) > 2*len(s.what) {
		s.line = append(s.line[:0], s.line[len(s.line)-len(s.what):]...)
	}
	at := len(s.line) - len(s.what)
	if at < 0 {
		return
	}
	for i, w := range s.what {
		if s.line[at+i] != w {
			return
		}
	}
	s.hit = true
}
