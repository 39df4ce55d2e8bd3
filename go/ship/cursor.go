package ship

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"etcha/go/audit"
)

// place is an entry of the log.
type place struct {
	seq  uint64
	hash string
}

// maxCursor is more bytes than a cursor's file has.
const maxCursor = 256

// cursorFile names the file of a destination's cursor. Another address is
// another destination, which has got nothing yet.
func cursorFile(dir, name, address string) string {
	sum := sha256.Sum256([]byte(address))
	return filepath.Join(dir, name+"-"+hex.EncodeToString(sum[:6])+".cursor")
}

// readCursor gives the zero place when there is none yet, and with an error.
func readCursor(path string) (place, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return place{}, nil
	}
	if err != nil {
		return place{}, err
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, maxCursor))
	if err != nil {
		return place{}, err
	}
	h, err := audit.ParseHead(strings.TrimSuffix(string(b), "\n"))
	if err != nil {
		return place{}, fmt.Errorf("read %s: %w", path, err)
	}
	return place{h.Seq, h.Hash}, nil
}

// writeCursor puts a cursor in place of the one before, or leaves that.
func writeCursor(path string, at place) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".cursor-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.WriteString(audit.Head{Seq: at.seq, Hash: at.hash}.String() + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(dir)
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// hashOf is the hash of a line as the log's chain has it.
func hashOf(line []byte) string {
	sum := sha256.Sum256(line)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
