// Package record writes and reads recordings of sessions: asciicast files,
// version 3 or 2 (https://docs.asciinema.org/manual/asciicast/v3/).
//
// It owns the folder of recordings: names, modes, what a process that dies
// leaves behind, what is removed for its age or size. It also replays: [Player]
// with a clock and a screen that the caller brings, [Filter] for what may reach
// the terminal of who looks, [Export] to other formats.
//
// It does not decide what is recorded. The caller hands it output, and of input
// only what may be kept. A recording holds neither arguments nor environment,
// except the terminal's type.
//
// Invariants of a recording that is being written:
//
//   - Beside NAME.cast is NAME.cast.state with two slots that are written in
//     turn, each with a checksum. A slot says up to where the recording is good:
//     its size, its SHA-256, how many bytes of output are in it, and the
//     beginnings of characters whose rest has not come yet.
//   - First the events are written, then the slot. [Recorder.Offset] counts what
//     both hold. [Resume] cuts off what the newest slot that fits the file does
//     not know of; output that is handed in again from Offset on is recorded
//     once.
//   - Neither is synced before [Recorder.Finish]: this is for processes that
//     die, not for a power cut, which no session survives.
//   - A failed write leaves the file as it was: whole lines.
//   - Who records holds a lock (flock) on NAME.cast. The state file is removed
//     when the recording is finished.
//
// What is not UTF-8 is written as U+FFFD, one for each byte, as Go reads it. The
// text does not depend on how output was cut into pieces.
//
// It starts no goroutine. [Create] and [Resume] work on Unix only.
package record
