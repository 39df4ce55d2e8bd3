package session

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestAssemblerProperty: whatever is cut, repeated, delayed and reordered, the
// program gets the exact bytes, each once.
func TestAssemblerProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "input")
		pieces := drawPieces(t, want)
		var a assembler
		var got []byte
		for len(pieces) > 0 {
			i := rapid.IntRange(0, min(len(pieces)-1, 20)).Draw(t, "which")
			p := pieces[i]
			if rapid.IntRange(0, 3).Draw(t, "again") > 0 {
				pieces = slices.Delete(pieces, i, i+1)
			}
			next := uint64(len(got))
			if !a.fits(next, p) {
				t.Fatalf("%d pieces wait", len(a.early))
			}
			data := slices.Clone(p.data)
			got = append(got, a.add(next, piece{p.offset, data})...)
			clear(data) // the request's memory is not the assembler's
			checkAssembler(t, &a, uint64(len(got)))
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
		if a.early != nil {
			t.Fatalf("%d pieces still wait", len(a.early))
		}
	})
}

// drawPieces covers the input once in order, and at random in between.
func drawPieces(t *rapid.T, input []byte) []piece {
	var pieces []piece
	for at := 0; at < len(input); {
		n := rapid.IntRange(1, 40).Draw(t, "length")
		end := min(at+n, len(input))
		pieces = append(pieces, piece{uint64(at), input[at:end]})
		at = end
	}
	for range rapid.IntRange(0, 10).Draw(t, "extra") {
		from := rapid.IntRange(0, len(input)).Draw(t, "from")
		to := rapid.IntRange(from, len(input)).Draw(t, "to")
		where := rapid.IntRange(0, len(pieces)).Draw(t, "where")
		pieces = slices.Insert(pieces, where, piece{uint64(from), input[from:to]})
	}
	return pieces
}

type fataler interface{ Fatalf(string, ...any) }

func checkAssembler(t fataler, a *assembler, next uint64) {
	for _, p := range a.early {
		if p.offset < next || len(p.data) == 0 {
			t.Fatalf("next is %d; %d bytes wait at %d", next, len(p.data), p.offset)
		}
		next = p.end()
	}
}

func TestAssemblerKeepsTheFirstByte(t *testing.T) {
	var a assembler
	if got := a.add(0, piece{3, []byte("DEF")}); got != nil {
		t.Errorf("early input gave %q", got)
	}
	a.add(0, piece{2, []byte("cdefg")})
	if got := a.add(0, piece{0, []byte("abxxxxxh")}); string(got) != "abcDEFgh" {
		t.Errorf("got %q", got)
	}
}

func TestAssemblerIsBounded(t *testing.T) {
	var a assembler
	for i := range uint64(maxEarly) {
		p := piece{2 + 2*i, []byte("x")}
		if !a.fits(0, p) {
			t.Fatalf("piece %d does not fit", i)
		}
		a.add(0, p)
	}
	if a.fits(0, piece{1 << 10, []byte("x")}) {
		t.Error("one too many waits")
	}
	if !a.fits(0, piece{0, []byte("xx")}) {
		t.Error("what follows on does not fit")
	}
}

func TestAssemblerEnd(t *testing.T) {
	var a assembler
	a.add(0, piece{5, []byte("xyz")})
	if a.close(7) {
		t.Error("the input ends before what has arrived")
	}
	for _, end := range []uint64{8, 8} {
		if !a.close(end) {
			t.Error("the end is not taken")
		}
	}
	if a.close(9) {
		t.Error("another end is taken")
	}
	if a.beyond(8) || !a.beyond(9) {
		t.Error("beyond is not after the end")
	}
}
