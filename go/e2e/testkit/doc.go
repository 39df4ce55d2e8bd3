// Package testkit is what the end-to-end tests share: the program built once,
// real nodes on loopback, users, clients on a terminal, and the programs of
// other people that a test needs. It is imported by tests only.
//
// Everything it starts is ended by the test's cleanup; a node that leaves a
// process behind fails its test.
package testkit
