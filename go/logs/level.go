package logs

import (
	"log/slog"
	"math"
)

// levelNone is above every level that a record can have in practice.
const levelNone = slog.Level(math.MaxInt32)

// Levels lists the names of the levels, the most talkative first.
func Levels() []string { return []string{"debug", "info", "warn", "error", "none"} }

// Level is the least level that is written. It may be changed at any time.
type Level struct{ v slog.LevelVar }

// NewLevel makes a Level from one of the names that [Levels] lists.
func NewLevel(name string) (*Level, error) {
	l := new(Level)
	return l, l.Set(name)
}

// Set changes the level to the one of that name. After an error it is as it was.
func (l *Level) Set(name string) error {
	v, err := parseLevel(name)
	if err != nil {
		return err
	}
	l.v.Set(v)
	return nil
}

// Level implements [slog.Leveler].
func (l *Level) Level() slog.Level { return l.v.Level() }

func parseLevel(name string) (slog.Level, error) {
	switch name {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	case "none":
		return levelNone, nil
	}
	return 0, oneOf("log level", name, Levels())
}
