package record

import (
	"fmt"
	"syscall"
)

// Whoever has a session decides how much it writes. Recordings leave room on
// their disk for what must still be written then, the audit log above all.
const (
	spareMost  = 256 << 20 // bytes
	spareShare = 32        // of the disk, where that is less
	lookEvery  = 64 << 10  // bytes of a recording between two looks
)

// room refuses n more bytes, as a full disk would, when the disk has not enough
// left beside them. It does not look for every few bytes.
func (r *Recorder) room(n int) error {
	if r.st.size/lookEvery == (r.st.size+int64(n))/lookEvery {
		return nil
	}
	free, total, ok := space(r.dir)
	spare := min(spareMost, total/spareShare)
	if !ok || free >= spare+uint64(n) {
		return nil
	}
	return fmt.Errorf("%d bytes of the disk are kept free: %w", spare, syscall.ENOSPC)
}
