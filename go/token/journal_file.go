package token

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
)

// The journal's file is a header and a fixed number of slots, all of 32 bytes so
// that none straddles a sector. Integers are big-endian, checksums CRC-32C of
// what stands before them.
//
//	header  magic [8] · floor [8] · slots [4] · zero [8] · checksum [4]
//	record  ID [16] · exp [6] · floor [6] · checksum [4], of these and its number [4], from 1 on
//
// Slots are filled in order; the rest is zero. The highest floor counts. The space is written once, when
// the file is made, so that a use only overwrites: then fdatasync need not wait
// for the file system's own journal. When the slots are used up the file is
// written anew with what is live, beside the old one, and renamed.
const (
	journalMagic = "etchajr1"
	slotSize     = 32
	minSlots     = 4096
	maxSlots     = 1 << 21 // 64 MiB
)

// errDamaged means that a journal's file cannot be trusted.
var errDamaged = errors.New("damaged")

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errDamaged, fmt.Errorf(format, args...))
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

func appendHeader(b []byte, floor int64, slots int) []byte {
	b = append(b, journalMagic...)
	b = binary.BigEndian.AppendUint64(b, uint64(floor))
	b = binary.BigEndian.AppendUint32(b, uint32(slots))
	b = append(b, make([]byte, 8)...)
	return binary.BigEndian.AppendUint32(b, checksum(b[len(b)-recordBody:]))
}

func appendRecord(b []byte, e entry, floor int64, number int) []byte {
	b = append(b, e.id[:]...)
	b = appendTime(b, e.exp)
	b = appendTime(b, floor)
	return binary.BigEndian.AppendUint32(b, recordSum(b[len(b)-recordBody:], number))
}

const recordBody = slotSize - 4

// recordSum has the number in it, so that a record counts only in its place.
func recordSum(body []byte, number int) uint32 {
	return checksum(binary.BigEndian.AppendUint32(bytes.Clone(body), uint32(number)))
}

func appendTime(b []byte, sec int64) []byte {
	var whole [8]byte
	binary.BigEndian.PutUint64(whole[:], uint64(sec))
	return append(b, whole[2:]...)
}

func decodeTime(b []byte) int64 {
	var whole [8]byte
	copy(whole[2:], b[:6])
	return int64(binary.BigEndian.Uint64(whole[:]))
}

// readJournal gives what the file holds. Errors are os.ErrNotExist, errDamaged,
// or of the operating system.
func readJournal(path string) (floor int64, entries []entry, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, (maxSlots+1)*slotSize+1))
	if err != nil {
		return 0, nil, err
	}
	return decodeJournal(data)
}

// decodeJournal reads a whole file. Zero slots end it. A bad record with
// nothing but zeros behind it is a write that was cut off before it was
// acknowledged, and ends it too; any other is damage.
func decodeJournal(data []byte) (floor int64, entries []entry, err error) {
	floor, slots, err := decodeHeader(data)
	if err != nil {
		return 0, nil, err
	}
	if len(data) != (slots+1)*slotSize {
		return 0, nil, damaged("%d bytes for %d slots", len(data), slots)
	}
	zero := make([]byte, slotSize)
	for number := 1; number <= slots; number++ {
		slot := data[number*slotSize : (number+1)*slotSize]
		e, at, ok := decodeRecord(slot, number)
		if ok {
			entries, floor = append(entries, e), max(floor, at)
			continue
		}
		for rest := data[(number+1)*slotSize:]; len(rest) > 0; rest = rest[slotSize:] {
			if !bytes.Equal(rest[:slotSize], zero) {
				return 0, nil, damaged("record %d", number)
			}
		}
		break
	}
	return floor, entries, nil
}

func decodeHeader(data []byte) (floor int64, slots int, err error) {
	if len(data) < slotSize {
		return 0, 0, damaged("%d bytes", len(data))
	}
	if string(data[:8]) != journalMagic || binary.BigEndian.Uint32(data[recordBody:]) != checksum(data[:recordBody]) {
		return 0, 0, damaged("header")
	}
	floor = int64(binary.BigEndian.Uint64(data[8:]))
	slots = int(binary.BigEndian.Uint32(data[16:]))
	if floor < 0 || floor > maxTime || slots < 1 || slots > maxSlots {
		return 0, 0, damaged("header out of bounds")
	}
	return floor, slots, nil
}

// maxTime bounds times on disk, Unix seconds: 48 bits.
const maxTime = 1<<48 - 1

func decodeRecord(slot []byte, number int) (e entry, floor int64, ok bool) {
	body := slot[:recordBody]
	if binary.BigEndian.Uint32(slot[recordBody:]) != recordSum(body, number) {
		return entry{}, 0, false
	}
	e, floor = entry{id: entryID(body[:16]), exp: decodeTime(body[16:])}, decodeTime(body[22:])
	return e, floor, e.exp > 0
}

// setAside moves a damaged file out of the way, for whoever wants to look at it.
func setAside(path string) error {
	err := os.Rename(path, path+".lost")
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// write takes entries to the disk, and the floor with them; the caller holds the
// disk lock, not mu. They are marked in memory already, so a rewrite has them too.
func (j *Journal) write(entries []entry, floor int64) error {
	if j.log == nil || len(entries) > j.room {
		return j.rewrite()
	}
	b := make([]byte, 0, len(entries)*slotSize)
	for i, e := range entries {
		b = appendRecord(b, e, floor, j.count+i+1)
	}
	_, err := j.log.WriteAt(b, int64(j.count+1)*slotSize)
	if err == nil {
		err = syncData(j.log)
	}
	if err == nil {
		j.count += len(entries)
		j.room -= len(entries)
		return nil
	}
	// What of it is on disk is unknown: no record may follow it there.
	_ = j.closeLog()
	if j.rewrite() == nil {
		return nil
	}
	return withoutPath(err)
}

// rewrite puts a new file with the floor and what is live in place of the old.
// The caller holds the disk lock or is alone, and does not hold mu.
func (j *Journal) rewrite() error {
	b, count, slots := j.snapshot()
	if err := j.closeLog(); err != nil {
		return err
	}
	if err := writeFile(j.path, string(b), modePrivate, true); err != nil {
		return err
	}
	log, err := os.OpenFile(j.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	j.log, j.count, j.room = log, count, slots-count
	return nil
}

// snapshot is a whole file of what is live.
func (j *Journal) snapshot() (b []byte, count, slots int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.forget(j.tick().Unix())
	slots = min(max(minSlots, 2*len(j.live)), maxSlots)
	size := (slots + 1) * slotSize
	b = appendHeader(make([]byte, 0, size), j.floor, slots)
	for id, exp := range j.live {
		count++
		b = appendRecord(b, entry{id: id, exp: exp}, j.floor, count)
	}
	return b[:size], count, slots
}

func (j *Journal) closeLog() error {
	if j.log == nil {
		return nil
	}
	err := j.log.Close()
	j.log = nil
	return err
}
