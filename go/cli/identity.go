package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"etcha"
	"etcha/go/config"
	"etcha/go/errs"
	"etcha/go/token"
)

// signer is the key that requests are signed with: --identity, else
// build.signingKey, else the file that build.signingKeyPath names.
func (s *shell) signer(set *settings) (etcha.Signer, error) {
	key, err := s.privateKey(set)
	if err != nil {
		return etcha.Signer{}, err
	}
	return etcha.NewSigner(key.Signer()), nil
}

func (s *shell) privateKey(set *settings) (token.PrivateKey, error) {
	b := set.Config.Build
	switch {
	case s.identity != "":
		return s.readKey(s.identity)
	case b.SigningKey != "":
		key, err := token.ParsePrivate(b.SigningKey.Reveal(), s.asker("build.signingKey"))
		if err != nil {
			return key, fmt.Errorf("build.signingKey: %w", err)
		}
		return key, nil
	case b.SigningKeyPath != "":
		path, err := findKey(set)
		if err != nil {
			return token.PrivateKey{}, err
		}
		return s.readKey(path)
	default:
		return token.PrivateKey{}, errs.Usage("there is no key to sign with").
			WithHint("etcha generate-keys --out operator makes a pair; name it by -i operator or in build.signingKeyPath")
	}
}

func (s *shell) readKey(path string) (token.PrivateKey, error) {
	key, err := token.ReadPrivate(path, s.asker(path))
	if errors.Is(err, fs.ErrNotExist) {
		return key, errs.Usage("there is no key file %s", path).
			WithHint("etcha generate-keys --out %s makes a pair of keys", path)
	}
	return key, err
}

// asker asks for a key's passphrase, once and only when the key has one.
func (s *shell) asker(name string) func() ([]byte, error) {
	return func() ([]byte, error) { return s.app.passphrase(s.passphraseFD, name) }
}

// findKey finds the file of build.signingKeyPath: a bare name in the working
// directory or the nearest parent that has it, else beside or above the
// configuration's file. A path with a folder in it is taken as it is.
func findKey(set *settings) (string, error) {
	name := set.Config.Build.SigningKeyPath
	if name != filepath.Base(name) {
		return name, nil
	}
	dirs := []string{"."}
	if set.Path != "" {
		dirs = append(dirs, filepath.Dir(set.Path))
	}
	for _, dir := range dirs {
		path, err := config.FindUp(dir, name)
		if err != nil || path != "" {
			return path, err
		}
	}
	return "", errs.Usage("build.signingKeyPath: there is no file %s here or in a folder above", name).
		WithHint("etcha generate-keys --out %s makes a pair of keys", name)
}
