// Package authz is the decision whether somebody may have a shell, and which:
// who asks, what they ask for and the rules go in, a [Grant] or a refusal with
// its reason comes out. It does no I/O, keeps no state, starts no goroutine.
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
// What a client may choose: the size and type of its terminal, one of the
// source's processes, a command where the source allows it, and variables that
// are on the source's list, are not on the fixed list of dangerous ones and hold
// no dangerous value. All else comes from the configuration, which also wins
// where both set the same variable.
//
// A [Policy] is not changed after [New] and safe for concurrent use. Nothing it
// gives out shares memory with it.
package authz
