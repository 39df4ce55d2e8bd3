// Package keeper is the process that holds the shells of a node, and the
// daemon's side of the socket to it.
package keeper
