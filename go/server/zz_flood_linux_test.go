package server

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"etcha/go/wire"
)

func TestZZFlood(t *testing.T) {
	n := newNode(t)
	c := n.claims("", "", wire.Shell{Op: wire.OpList})
	tok := n.sign(n.bob, c)
	var wg sync.WaitGroup
	start := time.Now()
	for range 8 {
		wg.Go(func() {
			for range 500 {
				n.post(wire.PathSessions, tok)
			}
		})
	}
	wg.Wait()
	fmt.Println("4000 requests", time.Since(start))
	start = time.Now()
	s := n.open(n.h2, n.alice, "debug", "true")
	fmt.Println("open took", time.Since(start))
	s.output()
	_, all := n.entries("")
	fmt.Println(len(all))
}
