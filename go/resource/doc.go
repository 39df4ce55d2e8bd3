// Package resource checks, changes and removes files, folders, lines and links:
// the helpers copy, dir, file, line and link of scripts, without a process.
//
// It owns how one thing on the disk is compared with what it should be and how it
// gets there. What is wanted, in which order and what follows from it is the
// caller's. It imports nothing of this module and starts no goroutine.
//
// Check changes nothing and gives nil when all is as wanted, a [Difference] when
// not, and another error when it cannot be told. After a Change without error,
// Check gives nil; a second Change writes nothing. After a Remove, Check of the
// same gives a Difference, and a second Remove does nothing. Where nothing was
// before a Change, nothing is after the Remove: no folder is made beside.
//
// # Writing
//
// Content is written to a new file in the same folder, with owner, group and mode
// before content, synced, renamed over the old one, and the folder synced: who
// reads sees the old file or the new one, also after SIGKILL or a power cut. What
// a killed writer leaves has a name of its own (.etcha-…), is locked while its
// writer lives, and is removed by the next change or removal of the same path. A
// replaced file keeps owner, group, mode and, on Linux, extended attributes and
// access lists, unless told otherwise; other hard links keep the old content.
// Owners or modes that alone differ are set in place.
//
// # Symbolic links
//
// Folders on the way to a path are followed, as everywhere; the last name never
// is. A link where a file, folder or line is wanted is a Difference: file and copy
// replace the link itself and never write to where it points; dir, line and a
// removal refuse, since what is meant is not theirs to guess. All steps on a path
// go through its folder once opened, so that exchanging a folder on the way while
// a change runs cannot lead it elsewhere. A copied folder's links are copied as
// links; the source named itself may be one and is followed.
package resource
