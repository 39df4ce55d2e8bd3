package audit

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Head is the number and hash of an entry, as SEQ:HASH for people.
type Head struct {
	Seq  uint64
	Hash string
}

// String is SEQ:HASH.
func (h Head) String() string { return strconv.FormatUint(h.Seq, 10) + ":" + h.Hash }

// ParseHead reads SEQ:HASH.
func ParseHead(s string) (Head, error) {
	number, hash, ok := strings.Cut(s, ":")
	seq, err := strconv.ParseUint(number, 10, 64)
	if !ok || err != nil || seq < 1 || seq > maxSeq || !isHash(hash) {
		return Head{}, fmt.Errorf("%q is not SEQ:HASH", s)
	}
	return Head{seq, hash}, nil
}

// The head's file has two slots of slotSize bytes, written in turn, so that a
// write that is cut off leaves the one before. A slot is a line
//
//	etcha-audit-head SEQ HASH CHECKSUM
//
// filled up with spaces; the checksum is the CRC-32C of what stands before it,
// in hexadecimal. The higher of two valid slots counts.
const (
	headName  = "head"
	headMagic = "etcha-audit-head"
	slotSize  = 4096 // apart by more than what a disk writes at once
)

// ErrNoHead means that there is no head, or none that can be read.
var ErrNoHead = errors.New("no head")

func appendSlot(h Head) []byte {
	body := fmt.Sprintf("%s %d %s ", headMagic, h.Seq, h.Hash)
	line := body + slotSum([]byte(body)) + "\n"
	return append([]byte(line), bytes.Repeat([]byte(" "), slotSize-len(line))...)
}

func slotSum(body []byte) string {
	return fmt.Sprintf("%08x", crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
}

func decodeSlot(slot []byte) (Head, bool) {
	line, _, ok := bytes.Cut(slot, []byte("\n"))
	end := bytes.LastIndexByte(line, ' ') + 1
	if !ok || end == 0 || string(line[end:]) != slotSum(line[:end]) {
		return Head{}, false
	}
	fields := strings.Fields(string(line[:end]))
	if len(fields) != 3 || fields[0] != headMagic {
		return Head{}, false
	}
	h, err := ParseHead(fields[1] + ":" + fields[2])
	return h, err == nil
}

// decodeHead reads the file's content; slot is the one that counts.
func decodeHead(data []byte) (h Head, slot int, err error) {
	slot = -1
	for i := 0; i < 2 && len(data) >= (i+1)*slotSize; i++ {
		if got, ok := decodeSlot(data[i*slotSize : (i+1)*slotSize]); ok && got.Seq >= h.Seq {
			h, slot = got, i
		}
	}
	if slot < 0 {
		return Head{}, 0, ErrNoHead
	}
	return h, slot, nil
}

// readHead gives the head of a log that somebody else may be writing; an error
// is ErrNoHead or of the operating system.
func readHead(dir string) (Head, error) {
	f, err := openFile(filepath.Join(dir, headName), os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		return Head{}, ErrNoHead
	}
	if err != nil {
		return Head{}, err
	}
	defer func() { _ = f.Close() }()
	h, _, err := loadHead(f)
	return h, err
}

func loadHead(f *os.File) (Head, int, error) {
	data, err := io.ReadAll(io.NewSectionReader(f, 0, 2*slotSize))
	if err != nil {
		return Head{}, 0, err
	}
	return decodeHead(data)
}

// headFile is the head's file, open for writing.
type headFile struct {
	file *os.File
	next int // slot of the next write
}

// openHead opens or makes the head's file. noted is what it says; err is
// ErrNoHead with a usable file when it says nothing.
func openHead(dir string) (h *headFile, noted Head, err error) {
	f, err := openFile(filepath.Join(dir, headName), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, Head{}, err
	}
	noted, slot, err := loadHead(f)
	if err != nil && !errors.Is(err, ErrNoHead) {
		return nil, Head{}, errors.Join(err, f.Close())
	}
	return &headFile{f, 1 - slot}, noted, err
}

// write takes h to the disk in place of the older slot.
func (f *headFile) write(h Head, sync func(*os.File) error) error {
	if _, err := f.file.WriteAt(appendSlot(h), int64(f.next)*slotSize); err != nil {
		return err
	}
	if err := sync(f.file); err != nil {
		return err
	}
	f.next = 1 - f.next
	return nil
}
