package token

import (
	"crypto/rand"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"etcha/go/wire"
)

func benchClaims() wire.Claims {
	now := time.Now().Unix()
	return wire.Claims{
		Audience: wire.Audience{"SHA256:" + strings.Repeat("a", 43)},
		IssuedAt: now, NotBefore: now, Expires: now + 5,
		Source: "debug", Session: NewID(),
		Shell: &wire.Shell{Op: wire.OpInput, Offset: 12345, Data: []byte("l"), Ack: 4711},
		Pad:   strings.Repeat("x", 60),
	}
}

func benchKinds(b *testing.B, f func(b *testing.B, key PrivateKey)) {
	for _, kind := range []string{KindEd25519, KindP256, KindRSA2048} {
		key, err := Generate(kind, "")
		if err != nil {
			b.Fatal(err)
		}
		b.Run(kind, func(b *testing.B) { f(b, key) })
	}
}

func BenchmarkSign(b *testing.B) {
	benchKinds(b, func(b *testing.B, key PrivateKey) {
		claims := benchClaims()
		b.ReportAllocs()
		for b.Loop() {
			if _, err := key.Sign(wire.TypeRequest, claims); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkSignInput is what a client does with a full chunk of input.
func BenchmarkSignInput(b *testing.B) {
	key, err := Generate(KindEd25519, "")
	if err != nil {
		b.Fatal(err)
	}
	claims := benchClaims()
	claims.Shell.Data = make([]byte, wire.MaxInput)
	b.SetBytes(wire.MaxInput)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := key.Sign(wire.TypeRequest, claims); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	benchKinds(b, func(b *testing.B, key PrivateKey) {
		tok := []byte(mustSign(b, key, wire.TypeRequest, benchClaims()))
		keys := []PublicKey{key.Public()}
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := Verify(tok, wire.TypeRequest, keys); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkRequest is what a node does with an input before it is authorised.
func BenchmarkRequest(b *testing.B) {
	for name, size := range map[string]int{"key": 1, "64KiB": wire.MaxInput} {
		b.Run(name, func(b *testing.B) {
			key, err := Generate(KindEd25519, "")
			if err != nil {
				b.Fatal(err)
			}
			claims := benchClaims()
			claims.Shell.Data = make([]byte, size)
			_, _ = rand.Read(claims.Shell.Data)
			tok := []byte(mustSign(b, key, wire.TypeRequest, claims))
			keys, now := []PublicKey{key.Public()}, time.Unix(claims.IssuedAt, 0)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				payload, _, err := Verify(tok, wire.TypeRequest, keys)
				if err != nil {
					b.Fatal(err)
				}
				c, err := DecodeClaims(payload)
				if err != nil {
					b.Fatal(err)
				}
				if err := CheckLife(c, now); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecodeClaims(b *testing.B) {
	key, err := Generate(KindEd25519, "")
	if err != nil {
		b.Fatal(err)
	}
	payload, _, err := Verify([]byte(mustSign(b, key, wire.TypeRequest, benchClaims())), wire.TypeRequest, []PublicKey{key.Public()})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeClaims(payload); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkConfirm(b *testing.B) {
	_, c, err := NewConfirm()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ConfirmKey(&c); err != nil {
			b.Fatal(err)
		}
	}
}

func benchJournal(b *testing.B) *Journal {
	j, err := OpenJournal(JournalOptions{Path: filepath.Join(b.TempDir(), "replay"), MaxEntries: maxSlots / 2, Fresh: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = j.Close() })
	return j
}

func BenchmarkJournalUse(b *testing.B) {
	j := benchJournal(b)
	for b.Loop() {
		if err := j.Use(NewID(), j.Now().Add(5*time.Second)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkJournalUseParallel shares writes: 64 sessions are opened at once.
func BenchmarkJournalUseParallel(b *testing.B) {
	j := benchJournal(b)
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := j.Use(NewID(), j.Now().Add(5*time.Second)); err != nil {
				b.Error(err)
			}
		}
	})
}
