// Package rule is the language of policy: an expression over who asks, for
// what, where and when, that is true or false. It alone knows the expr library.
//
// A rule is written by a node's administrator; what it is asked about comes from
// clients. It owns the words that a rule may use and their types ([Env]), the
// functions beside them, and what is said to an administrator about a rule that
// makes no sense.
//
// It refuses, when a rule is compiled and with the place: a word that is not
// known, with the nearest one that is; a result that is not true or false for
// certain; a pattern of matches and a network of inCIDR that are not valid; a
// pattern that is not written out, so that no client brings one; and what could
// take long: more than 1000 nodes, a loop within a loop, lists of more than
// 4096 entries. A rule can only look: there is no function that changes, reads
// or starts anything, or asks another clock than [Env.Now].
//
// A rule that cannot be evaluated (a list is shorter than it says, an address is
// none) is an error, and means no. The error says where in the rule, never with
// which values: those are a client's command and environment.
//
// A [Rule] is not changed after [Compile] and safe for concurrent use. No
// goroutine is started here.
package rule
