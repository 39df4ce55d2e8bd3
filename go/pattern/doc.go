// Package pattern renders Patterns, and builds, signs, reads and compares the
// artifacts made of them.
//
// It owns the shape of a Pattern, the order in which its vars count, what an
// artifact's claims hold and which of them are refused, and what a Pattern learns
// about its machine ([Gather]). It runs nothing: the commands of build and run are
// data for package command, and what the native functions may use is passed in.
// Which keys are accepted, rules about claims and whether an artifact's serial is
// too old are the caller's.
//
// # Pattern
//
// A Jsonnet file gives {audience, build, buildExec, buildOutput, expiresIn, id,
// issuer, run, runExec, runVars, subject}, or a list, which is run. A field that
// is null is unset. All mistakes are reported at once as [command.Problems], each
// with file and line where the source shows it. The place of a command is that of
// the object literal with its id; a computed id leads to its list's place.
//
// # Vars
//
// std.native('getConfig')() gives the configuration with the merged vars as its
// member vars: runVars, then vars, the source's, the target's, of which the later
// wins name by name, then the names that Etcha gives itself: source, test, jwt,
// target, srcDir, srcPath, sysinfo.
//
// # Artifact
//
// A compact JWS with typ JWT, at most token.MaxArtifact bytes. etchaPattern holds
// the entrypoint and every file by its path below their common folder, as text,
// and in kept the values of native functions called with cache: true. What is
// imported by an absolute path or is not UTF-8 cannot be carried and is an error;
// what a text given to the native function render imports is not looked for.
// A node renders the files it was given and imports nothing else from its disk;
// native functions see its own disk, environment and network.
//
// Invariants: a path in an artifact never leaves its folder; an artifact that was
// not verified has a type of its own, [Unverified]; files are written whole or
// not at all. No goroutine is started here, beyond those of package jsonnet.
package pattern
