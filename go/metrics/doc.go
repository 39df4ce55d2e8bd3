// Package metrics is what a node counts about itself, in Prometheus' terms. It
// is the only package that knows the Prometheus client library, and none of
// that library's types leave it.
//
// It owns a registry of its own: nothing another package registers globally is
// shown. [Describe] is the one place where names, help texts and labels stand;
// the collectors and the manual's page are both made from it.
//
// Invariants: a counter's labels are bounded by the configuration (source) or by
// the code (reason, code, action), whatever a client sends: a source that was
// not announced by [Metrics.Sources] counts under the empty name, an unknown
// reason under "other". Every counter of a configured source exists from the
// start with the value 0, so that the first increase shows as one. Only
// etcha_sources_shells carries a key and an address; its series of ended
// sessions read 0 for five minutes and then go. No secret ever is a label: a key
// is named by its ID.
//
// The package starts no goroutine; all methods are safe for concurrent use.
package metrics
