//go:build linux

package testkit

import (
	"net"
	"slices"
	"sync"
	"testing"
	"time"
)

// Packet is what one read from a connection gave.
type Packet struct {
	At   time.Time
	Size int
	Up   bool // from the client to the node
}

// Proxy passes TCP connections on, notes what passes and can cut them.
type Proxy struct {
	Addr string

	t       testing.TB
	backend string
	l       net.Listener
	wg      sync.WaitGroup
	mu      sync.Mutex
	packets []Packet
	records []Packet
	conns   map[net.Conn]bool
	refuse  bool
	dark    chan struct{} // closed when the network is back; nil: it is there
}

// NewProxy listens on loopback and passes to backend until the test ends.
func NewProxy(t testing.TB, backend string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), t: t, backend: backend, l: l, conns: map[net.Conn]bool{}}
	p.wg.Add(1)
	go p.accept()
	t.Cleanup(func() {
		_ = l.Close()
		p.Blackhole(false)
		p.Cut()
		p.wg.Wait()
	})
	return p
}

func (p *Proxy) accept() {
	defer p.wg.Done()
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		if p.refusing() {
			_ = c.Close()
			continue
		}
		p.hold(c)
		p.wg.Add(1)
		go p.connect(c)
	}
}

func (p *Proxy) connect(c net.Conn) {
	defer p.wg.Done()
	p.light()
	p.mu.Lock()
	backend := p.backend
	p.mu.Unlock()
	b, err := net.Dial("tcp", backend)
	if err != nil {
		p.drop(c)
		return
	}
	p.hold(b)
	p.wg.Add(2)
	go p.pass(b, c, true)
	go p.pass(c, b, false)
}

// light waits while nothing passes.
func (p *Proxy) light() {
	p.mu.Lock()
	dark := p.dark
	p.mu.Unlock()
	if dark != nil {
		<-dark
	}
}

func (p *Proxy) pass(dst, src net.Conn, up bool) {
	defer p.wg.Done()
	defer p.drop(dst, src)
	buf := make([]byte, 64<<10)
	var tls tlsRecords
	for {
		n, err := src.Read(buf)
		if n > 0 {
			p.mu.Lock()
			now := time.Now()
			p.packets = append(p.packets, Packet{now, n, up})
			for _, size := range tls.read(buf[:n]) {
				p.records = append(p.records, Packet{now, size, up})
			}
			p.mu.Unlock()
			p.light()
			if _, werr := dst.Write(buf[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *Proxy) hold(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.conns[c] = true
	}
}

func (p *Proxy) drop(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		_ = c.Close()
		delete(p.conns, c)
	}
}

func (p *Proxy) refusing() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refuse
}

// Refuse says whether new connections are closed at once.
func (p *Proxy) Refuse(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = on
}

// Blackhole has nothing pass, without a word to either side, until it is off.
func (p *Proxy) Blackhole(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case on && p.dark == nil:
		p.dark = make(chan struct{})
	case !on && p.dark != nil:
		close(p.dark)
		p.dark = nil
	}
}

// Backend has new connections go to another address.
func (p *Proxy) Backend(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.backend = addr
}

// Cut resets all connections.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.conns {
		if tc, ok := c.(*net.TCPConn); ok {
			_ = tc.SetLinger(0)
		}
		_ = c.Close()
		delete(p.conns, c)
	}
}

// Packets is what passed so far.
func (p *Proxy) Packets() []Packet {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.packets)
}

// Records is the TLS records of application data that passed so far.
func (p *Proxy) Records() []Packet {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.records)
}

// tlsRecords finds the records in a stream (RFC 8446, 5.1): what a watcher of
// the link sees of what is sent.
type tlsRecords struct {
	head []byte // of a record whose length is not known yet
	left int    // bytes of a record still to come
}

const (
	recordHead      = 5
	applicationData = 23
)

// read gives the sizes of the records of application data that begin in b.
func (r *tlsRecords) read(b []byte) (sizes []int) {
	for len(b) > 0 {
		if r.left > 0 {
			n := min(r.left, len(b))
			r.left -= n
			b = b[n:]
			continue
		}
		n := min(recordHead-len(r.head), len(b))
		r.head = append(r.head, b[:n]...)
		b = b[n:]
		if len(r.head) == recordHead {
			r.left = int(r.head[3])<<8 | int(r.head[4])
			if r.head[0] == applicationData {
				sizes = append(sizes, r.left)
			}
			r.head = r.head[:0]
		}
	}
	return sizes
}
