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
// # Formats
//
// std.format and % with a literal format are replaced by the concatenation that
// they stand for, which is many times faster; see rewrite.go. Results and errors
// are the evaluator's own. A format that is computed, one with * or %e and %g,
// and numbers from 2^53 on are left to the evaluator.
//
// # Cache
//
// A [Cache] keeps whole results by all that they depend on; a result that depends
// on commands, URLs, names, randomness or tokens is never kept.
//
// # Native functions
//
// std.native(NAME) gives each of these; every argument must be given. A null
// fallback means none. With cache true a value found once is kept: in
// [Result.Kept], from where [Options.Kept] gives it to evaluations elsewhere, the
// fallback's value included. Which values are asked for is the evaluation's: one
// that only another machine asks for is found there.
//
//	get(object, filter, default, prefix)   what a filter names below an object: a.b[0]["c.d"]; the
//	                                       default where that is missing or null. A prefix that is
//	                                       not empty stands before what was found, as text
//	getArch()                              the processor architecture, as Go names it
//	getCmd(command, fallback, cache)       output of a command, without the last line end
//	getConfig()                            the configuration, in a Pattern with its vars
//	getEnv(key, fallback, cache)           an environment variable
//	getFile(path, fallback, cache)         a file's text; relative to the evaluated file's folder.
//	                                       http:// and https:// are fetched, with headers after "#",
//	                                       separated by CR LF
//	getOS()                                the operating system, as Go names it
//	getPath()                              the folder of the evaluated file, absolute
//	getRecord(type, name, fallback, cache) DNS: A, AAAA, CNAME, TXT; a sorted list
//	jwtNew(claims, key, cache)             a token of an object's claims, signed with a private key
//	jwtParse(token, keys, fallback)        the claims of a token that one of a list of public keys signed
//	randString(n)                          n random letters and digits
//	regexMatch(regex, string)              whether an RE2 expression matches
//	render(string)                         the value of a Jsonnet text, as if it stood in a file
//	                                       beside the evaluated one; at most 8 in one another
package jsonnet
