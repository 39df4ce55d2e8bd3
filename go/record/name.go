package record

import (
	"fmt"
	"strings"
	"time"
)

// Names of the files: YYYYMMDDTHHMMSSZ-SOURCE-SESSION.cast, in UTC. There is no
// hyphen in the source, so that the parts can be told apart.
const (
	castSuffix  = ".cast"
	stateSuffix = ".state" // after the cast's
	stampForm   = "20060102T150405Z"
	maxNamePart = 96 // bytes of source and session
)

// castName is the name of a recording.
func castName(h Header) (string, error) {
	if err := checkSession(h.Session); err != nil {
		return "", err
	}
	return h.Started.UTC().Format(stampForm) + "-" + safePart(h.Source) + "-" + h.Session + castSuffix, nil
}

// parseName takes a recording's name apart.
func parseName(name string) (started time.Time, source, session string, ok bool) {
	stem, ok := strings.CutSuffix(name, castSuffix)
	if !ok {
		return time.Time{}, "", "", false
	}
	parts := strings.SplitN(stem, "-", 3)
	if len(parts) != 3 || checkSession(parts[2]) != nil {
		return time.Time{}, "", "", false
	}
	started, err := time.Parse(stampForm, parts[0])
	return started, parts[1], parts[2], err == nil
}

// checkSession refuses an ID that is no part of a file name.
func checkSession(id string) error {
	bad := strings.ContainsFunc(id, func(r rune) bool { return !isWord(r) && r != '-' })
	if id == "" || len(id) > maxNamePart || bad {
		return fmt.Errorf("session ID %.40q is no part of a file name", id)
	}
	return nil
}

func isWord(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_'
}

// safePart is a source as part of a file name: what may be there, and _ for the
// rest.
func safePart(source string) string {
	safe := strings.Map(func(r rune) rune {
		if isWord(r) || r == '.' {
			return r
		}
		return '_'
	}, source)
	return safe[:min(len(safe), maxNamePart)]
}
