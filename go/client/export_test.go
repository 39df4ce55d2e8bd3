package client

import (
	"time"

	"etcha/go/wire"
)

// NoPauses lets all pauses between tries end at once.
func (c *Client) NoPauses() {
	now := make(chan time.Time)
	close(now)
	c.waits.after = func(time.Duration) <-chan time.Time { return now }
}

// ManyTries lets a client try the same input for ever.
func (c *Client) ManyTries() { c.waits.tries = 1 << 30 }

// ShortWaits lets a client give up a session that is gone, and ask for room, after d.
func (c *Client) ShortWaits(d time.Duration) { c.waits.gone, c.waits.probe = d, d }

// ShortSilence lets a client give up a silent stream after d.
func (c *Client) ShortSilence(d time.Duration) { c.waits.silence = d }

// PayloadSize and Padding are those of a request token.
func PayloadSize(c wire.Claims) (int, error) { return payloadSize(c) }

// Sizes of the input's flow control, for tests.
const (
	MaxFlying  = maxFlying
	MaxWaiting = maxWaiting
	MaxTries   = maxTries
)

// ParseKnown parses a file of known nodes and writes it again.
func ParseKnown(file string, text []byte) ([]KnownNode, []byte, error) {
	k, err := parseKnown(file, text)
	if err != nil {
		return nil, nil, err
	}
	var all []KnownNode
	for _, l := range k.lines {
		if l.node.Target != "" {
			all = append(all, l.node)
		}
	}
	return all, k.text(), nil
}
