// Package authz is the decision whether somebody may have a shell, and which, or
// may do something with one that runs: who asks, what they ask for and the rules
// go in, a [Grant] or a refusal with its reason comes out. It does no I/O but
// what [Context] is given, keeps no state, starts no goroutine.
//
// It is the only maker of a usable [Grant], and starting a session demands one,
// so that a handler which forgets to authorise cannot start anything. The zero
// Grant grants nothing.
//
// It refuses a key that the source does not accept, also when the caller has
// verified a signature by it before: the policy may have changed in between. A
// refusal is an [errs.Error]. One of the code denied names the setting that
// stands in the way, and bad_request what is wrong with the request; not_found
// must be answered like an unverified request.
//
// The order of a decision is: does the source accept the key; what would be
// started, by the source's settings; may the session be opened to be left; is
// the source's rule true (shell.rule); for another one's session, is the share
// rule too (shell.share), without which nobody may; and for an open last, are
// there as many counter-signatures as shell.require asks for. Counter-signatures
// are used up only when nothing else stands in the way. A rule that cannot be
// evaluated is not true; why is the private cause of the refusal.
//
// Rules see a request as it was decided, not as it was sent: the variables that
// passed the filter, the words that the command was split into, and no name for
// the source's own shell. A [Record] holds the same for as long as the session
// lives, so that it can be decided about again when the policy changes.
//
// What a client may choose: the size and type of its terminal, one of the
// source's processes, a command where the source allows it, and variables that
// are on the source's list, are not on the fixed list of dangerous ones and hold
// no dangerous value. All else comes from the configuration, which also wins
// where both set the same variable.
//
// A [Policy] is not changed after [New] and safe for concurrent use. Nothing it
// gives out shares memory with it.
package authz
