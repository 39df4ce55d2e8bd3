package sse

// BufferCap is the memory that a writer holds, bytes.
func (w *Writer) BufferCap() int { return cap(w.buf) }
