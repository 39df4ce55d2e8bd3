package token

import (
	"crypto"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"etcha/go/errs"
	"etcha/go/wire"
)

// identityFile is the name of the identity key in the state folder: PKCS #8, PEM.
const identityFile = "identity.pem"

// Identity is a node's key pair on P-256 and the node ID it stands for.
type Identity struct {
	key   PrivateKey
	fresh bool
}

// LoadIdentity reads the identity key in dir, and makes it, with the folder, at
// a node's first start. The file has mode 0600 and is there whole or not at
// all; of two starts at once both use the same key. A key that others than its
// owner may touch, of another kind, or encrypted is an error, and so is a folder
// that cannot be written to.
func LoadIdentity(dir string) (*Identity, error) {
	path := filepath.Join(dir, identityFile)
	key, err := readIdentity(path)
	if err == nil {
		return &Identity{key: key}, nil
	}
	if errors.Is(err, fs.ErrPermission) {
		err = hinted(err, "the node must run as the user that owns it")
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read node identity %s: %w", path, err)
	}
	if err := makeIdentity(dir, path); err != nil {
		err = hinted(err, "the node needs a folder of its own that it may write to: run.stateDir")
		return nil, fmt.Errorf("make node identity %s: %w", path, err)
	}
	if key, err = readIdentity(path); err != nil {
		return nil, fmt.Errorf("read node identity %s: %w", path, err)
	}
	return &Identity{key: key, fresh: true}, nil
}

func readIdentity(path string) (PrivateKey, error) {
	key, err := readPrivate(path, nil, checkMode)
	if err != nil {
		return PrivateKey{}, err
	}
	if key.Kind() != KindP256 {
		return PrivateKey{}, &errs.Error{
			Text: fmt.Sprintf("a node's identity is an %s key, this is %s", KindP256, key.Kind()),
			Hint: "move the file away to get a new identity; clients that know the old one will object",
		}
	}
	return key, nil
}

func makeIdentity(dir, path string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	raw, err := generate(KindP256)
	if err != nil {
		return err
	}
	key, err := newPrivate(raw, "")
	if err != nil {
		return err
	}
	der, err := key.pkcs8()
	if err != nil {
		return err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	err = writeFile(path, string(text), modePrivate, false)
	if errors.Is(err, fs.ErrExist) {
		return nil // another start was quicker
	}
	return err
}

// hinted adds the way out to a refusal of the operating system.
func hinted(err error, hint string) error {
	return &errs.Error{Err: withoutPath(err), Hint: hint}
}

// ID is the node ID.
func (i *Identity) ID() string { return i.key.Public().Thumbprint() }

// Key is the identity key; it has no ID of its own.
func (i *Identity) Key() PrivateKey { return i.key }

// Signer is the key for the node's own TLS certificate.
func (i *Identity) Signer() crypto.Signer { return i.key.raw() }

// Fresh reports whether the key was made by this LoadIdentity: the node's first
// start, so that a missing replay journal was not lost.
func (i *Identity) Fresh() bool { return i.fresh }

// Prove signs a proof. Node and Key of the claims are filled in.
func (i *Identity) Prove(c wire.ProofClaims) (string, error) {
	c.Node, c.Key = i.ID(), i.encoded()
	return i.key.Sign(wire.TypeProof, c)
}

// Node signs the answer about the node. Node, Key and Protocol of the claims
// are filled in.
func (i *Identity) Node(c wire.NodeClaims) (string, error) {
	c.Node, c.Key, c.Protocol = i.ID(), i.encoded(), wire.Protocol
	return i.key.Sign(wire.TypeNode, c)
}

func (i *Identity) encoded() string {
	return base64.RawURLEncoding.EncodeToString(i.key.Public().DER())
}
