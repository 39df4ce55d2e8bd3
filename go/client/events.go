package client

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// EventKind says what an [Event] is about.
type EventKind string

// Kinds of events.
const (
	EventFirstUse EventKind = "first_use" // the node was not known and is now
	EventClock    EventKind = "clock"     // requests are signed by the node's clock
	EventNotice   EventKind = "notice"    // a notice from the node
	// EventLost: the connection was lost and the next try to connect again is at
	// Next. It comes before each try; the first is made at once, so that who shows
	// a status line may wait for Attempt 2. [EventBack] or the session's end follow.
	EventLost EventKind = "lost"
	EventBack EventKind = "back" // connected again after EventLost
	EventGap  EventKind = "gap"  // output, or input of a joined session, that is lost
	// EventResize: the terminal of a session that is watched or was joined has
	// another size.
	EventResize EventKind = "resize"
)

// Event is something that the user of a client should know.
type Event struct {
	Kind    EventKind
	Text    string // for people; lower case, no full stop, one line, printable
	Node    string // node ID, where there is one
	Session string // session ID, where it is about one
	Code    string // wire.NoticeCode, with EventNotice

	Attempt  int       // EventLost: the try that is next, from 1; EventBack: the one that succeeded
	Next     time.Time // EventLost: when it is made
	Deadline time.Time // EventLost: when the last one is; zero: there is none
	Cause    error     // EventLost: why the connection was lost, then why the last try failed

	From, To   uint64 // EventGap: offsets of the output that is missing; equal: none is
	Cols, Rows uint16 // EventResize
}

// lostEvent tells of a try that is made after d.
func (o *outage) lostEvent(d time.Duration) Event {
	now := o.s.c.waits.now()
	text := "connection lost: " + oneLine(o.cause) + "; " + again(d)
	if left := o.deadline.Sub(now).Round(time.Second); left > 0 {
		text += fmt.Sprintf(", the session lives for %s more", left)
	}
	return Event{
		Kind: EventLost, Text: text, Node: o.s.node, Session: o.s.id,
		Attempt: o.tries, Next: now.Add(d), Deadline: o.deadline, Cause: o.cause,
	}
}

func again(d time.Duration) string {
	if d < time.Second/2 {
		return "trying again now"
	}
	return "trying again in " + d.Round(time.Second).String()
}

// oneLine is the first line of an error, fit for a terminal.
func oneLine(err error) string {
	var loss *LossError
	if errors.As(err, &loss) {
		err = loss.Err
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return printable(line, maxMessage)
}
