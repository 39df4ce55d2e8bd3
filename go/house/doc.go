// Package house holds the tests that keep the structure of this module: who may
// import whom, which library belongs to which package, and what only some
// packages may do. It has no code of its own.
package house
