// Package config finds, merges and checks the configuration.
//
// It owns the tree of keys ([Config]), the order of the layers (defaults, file,
// environment, -x), what is said about a key in the reference ([Describe]), and
// what a configuration may not say. It refuses unknown keys, values of a wrong
// type or without sense, and settings of capabilities that this version does not
// have and that would be unsafe to pass over; all that is wrong comes in one
// error, each with its key and its place. It opens no connection, starts no
// program and parses no keys: those are functions that the caller passes in.
//
// Invariants: the keys of maps may have dots, dashes and underscores in every
// layer, but no control characters; no error, log line or shown configuration
// has a [Secret] in it; a [Config] is not changed after it was loaded; a file
// that was found, not named, must belong to the user or to root.
//
// # How it works
//
// The types are the schema. Each layer is checked against it and made into a
// tree of typed values (layer.go); koanf merges the trees over the defaults
// (load.go); mapstructure decodes the result; then values are checked for sense
// (validate*.go). Which layer set a key is remembered, and its line is looked up
// in the source when it is asked for.
//
// The package starts no goroutine but the one of an evaluation, see
// package jsonnet.
package config
