package client

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"etcha/go/token"
	"etcha/go/wire"
)

// seal signs the requests of one session with the session's own key. Their
// tokens are padded to steps of wire.PadStep bytes, so that their size does not
// tell one key from another, nor a key from an acknowledgement.
type seal struct {
	key   token.PrivateKey
	frame int // bytes of a token besides its encoded payload
}

// newSeal prepares for claims that are the same in each request.
func newSeal(key token.PrivateKey) (*seal, error) {
	empty := wire.Claims{}
	payload, err := json.Marshal(empty)
	if err != nil {
		return nil, fmt.Errorf("session key: %w", err)
	}
	tok, err := key.Sign(wire.TypeRequest, empty)
	if err != nil {
		return nil, fmt.Errorf("session key: %w", err)
	}
	return &seal{key: key, frame: len(tok) - base64.RawURLEncoding.EncodedLen(len(payload))}, nil
}

func (s *seal) sign(claims wire.Claims) (string, error) {
	size, err := payloadSize(claims)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	least, err := leastSize(claims, size)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	claims.Pad = strings.Repeat("0", s.padding(size, least))
	tok, err := s.key.Sign(wire.TypeRequest, claims)
	if err != nil {
		return "", fmt.Errorf("sign: %w", err)
	}
	return tok, nil
}

// smallShell bounds what the operation of a small request takes as JSON, bytes: an
// input of up to keyMax bytes, a decoy, an acknowledgement, a signal, a resize,
// whatever the offsets.
const smallShell = len(`{"op":"input","offset":18446744073709551615,"data":"","ack":18446744073709551615}`) +
	(keyMax+2)/3*4

// leastSize is what the payload of size bytes is brought to at least: with
// it all small requests of a session are equally long.
func leastSize(claims wire.Claims, size int) (int, error) {
	if claims.Shell == nil || len(claims.Shell.Data) > keyMax {
		return size, nil
	}
	small, err := json.Marshal(claims.Shell)
	return size + max(smallShell-len(small), 0), err
}

// payloadSize is the size of claims as JSON, without writing out the data.
func payloadSize(claims wire.Claims) (int, error) {
	size := 0
	if sh := claims.Shell; sh != nil && len(sh.Data) > 0 {
		size = len(`,"data":""`) + base64.StdEncoding.EncodedLen(len(sh.Data))
		bare := *sh
		bare.Data = nil
		claims.Shell = &bare
	}
	payload, err := json.Marshal(claims)
	return size + len(payload), err
}

// padding is the length of the pad claim for a payload of size bytes without
// it, which counts for least bytes: at least 1, since an empty one would be left
// out. Base64 without padding has no text of 4n+1 characters, so that all tokens
// may be 1 byte above the step.
func (s *seal) padding(size, least int) int {
	const name = len(`,"pad":""`)
	size, least = size+name, max(size, least)+name
	steps := (s.frame+base64.RawURLEncoding.EncodedLen(least+1)-1)/wire.PadStep + 1
	for ; ; steps++ {
		text := steps*wire.PadStep - s.frame
		if text%4 == 1 {
			text++
		}
		if n := base64.RawURLEncoding.DecodedLen(text) - size; n >= 1 {
			return n
		}
	}
}
