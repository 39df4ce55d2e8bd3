// Package pty starts one program on a terminal or on pipes, as a user, and ends
// it whole.
package pty
