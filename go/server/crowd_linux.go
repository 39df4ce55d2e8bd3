package server

import (
	"container/list"
	"net/netip"
	"sync"
)

// crowd bounds what has not shown a valid token yet. A newcomer always gets in;
// when the crowd is full, the one who has been in it longest, of the address
// that has the most, is put out. So a flood from one address pushes out itself.
type crowd struct {
	max  int // altogether
	each int // of one address

	mu    sync.Mutex
	n     int
	addrs map[netip.Prefix]*list.List // of *place, longest first
}

// place is one member's; nil is a place that is not counted.
type place struct {
	c     *crowd
	key   netip.Prefix
	at    *list.Element // nil: has left
	evict func()        // called with the crowd locked
}

func newCrowd(max, each int) *crowd {
	return &crowd{max: max, each: each, addrs: map[netip.Prefix]*list.List{}}
}

// enter takes a place. evict is called at most once, never after leave has
// returned; it must not block and not leave by itself.
func (c *crowd) enter(addr netip.Addr, evict func()) *place {
	key := group(addr)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch of := c.addrs[key]; {
	case of != nil && of.Len() >= c.each:
		c.putOut(of)
	case c.n >= c.max:
		c.putOut(c.largest())
	}
	of := c.addrs[key]
	if of == nil {
		of = list.New()
		c.addrs[key] = of
	}
	p := &place{c: c, key: key, evict: evict}
	p.at = of.PushBack(p)
	c.n++
	return p
}

func (c *crowd) putOut(of *list.List) {
	p, ok := of.Front().Value.(*place)
	if !ok {
		return
	}
	c.remove(p)
	p.evict()
}

func (c *crowd) largest() *list.List {
	var most *list.List
	for _, of := range c.addrs {
		if most == nil || of.Len() > most.Len() {
			most = of
		}
	}
	return most
}

func (c *crowd) remove(p *place) {
	of := c.addrs[p.key]
	of.Remove(p.at)
	p.at = nil
	c.n--
	if of.Len() == 0 {
		delete(c.addrs, p.key)
	}
}

// leave gives the place back; more than once is harmless.
func (p *place) leave() {
	if p == nil {
		return
	}
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	if p.at != nil {
		p.c.remove(p)
	}
}

func (c *crowd) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}
