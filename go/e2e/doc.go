// Package e2e tests the program as its users have it: real daemons on loopback,
// real terminals, real clients. It has no code of its own.
package e2e
