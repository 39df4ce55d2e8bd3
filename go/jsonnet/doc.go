// Package jsonnet evaluates Jsonnet (and with it JSON) files: imports, native
// functions, places in the source, limits.
//
// It owns how a file becomes JSON and which files that took. It does not reach
// the network and starts no program: fetching, name look-ups and running are
// functions that the caller passes in, and a native function without its
// function is an error that says so. What an object means is the caller's.
//
// Invariants: an import is relative to the file that imports; every file that
// was read or looked for, importstr and getFile included, is in [Result.Files],
// also after an error; each is bounded by [MaxFile] and all together by
// [MaxTotal]; nesting is bounded by [MaxNesting] before the parser sees a file,
// because the parser's recursion would otherwise end the process; an [Error]
// names file and line where the evaluator knows them.
//
// Jsonnet is a program: who may write a file may use up memory with it. One
// evaluation runs on one goroutine of its own. It ends by itself; when the time
// limit or the context is over, the caller is answered at once, and the
// goroutine, which the evaluator gives no means to stop, ends at its next
// import or native function, or when it is done.
//
// # Native functions
//
// std.native(NAME) gives each of these; every argument must be given. A null
// fallback means none. The argument cache is accepted for Patterns, where it
// keeps a value found at build time.
//
//	getArch()                              the processor architecture, as Go names it
//	getCmd(command, fallback, cache)       output of a command, without the last line end
//	getEnv(key, fallback, cache)           an environment variable
//	getFile(path, fallback, cache)         a file's text; relative to the evaluated file's folder.
//	                                       http:// and https:// are fetched, with headers after "#",
//	                                       separated by CR LF
//	getOS()                                the operating system, as Go names it
//	getPath()                              the folder of the evaluated file, absolute
//	getRecord(type, name, fallback, cache) DNS: A, AAAA, CNAME, TXT; a sorted list
//	randString(n)                          n random letters and digits
//	regexMatch(regex, string)              whether an RE2 expression matches
package jsonnet
