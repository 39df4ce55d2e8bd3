// Package audit is the log of who did what on a node, chained by hash.
//
// The log is a folder that this package owns:
//
//	audit-0000000001.jsonl        a segment, named by the number of its first entry
//	audit-0000000001.jsonl.torn   what a crash left half-written at its end
//	head                          number and hash of the last entry, twice
//	lock                          held by the process that writes
//
// A segment holds an entry a line, as JSON. "prev" is the SHA-256 of the whole
// line before, without its newline, also across segments; that of the very first
// is empty. Numbers rise by one. A number is never used twice: where entries were
// lost, the entry [Broken] says so and the numbers go on behind them.
//
// Invariants:
//
//   - An entry that [Log.Append] returned is on disk, and so is the head that
//     names it. The head is written after its entry: a crash between the two leaves
//     a log that is longer than its head by at most [maxBatch], never a shorter one.
//   - An append that failed leaves nothing behind.
//   - [Open] refuses no damaged log. It sets aside what is torn, writes down what
//     is missing, and goes on.
//   - The oldest segment is removed only after an entry [Pruned] with its last
//     number and hash is on disk.
//   - An entry holds at most [MaxEntry] bytes and never an argument, an environment,
//     input or output.
//
// What the chain proves has a limit: who may write the folder can write a whole
// new chain. A head that was noted elsewhere, or entries shipped elsewhere, show
// that; see [VerifyOptions].
//
// Appends that come at the same time share one write and one fdatasync, made by
// one of the callers: the package starts no goroutine.
package audit
