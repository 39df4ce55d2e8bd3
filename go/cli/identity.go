package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"etcha/go/config"
	"etcha/go/errs"
	"etcha/go/token"
)

// privateKey is the key that requests are signed with: --identity, else
// build.signingKey, else the file that build.signingKeyPath names.
func (x *access) privateKey(set *settings) (token.PrivateKey, error) {
	b := set.Config.Build
	switch {
	case x.identity != "":
		return x.readKey(x.identity)
	case b.SigningKey != "":
		key, err := x.patiently(func() (token.PrivateKey, error) {
			return token.ParsePrivate(b.SigningKey.Reveal(), x.asker("build.signingKey"))
		})
		if err != nil {
			return key, fmt.Errorf("build.signingKey: %w", err)
		}
		return key, nil
	case b.SigningKeyPath != "":
		path, err := findKey(set)
		if err != nil {
			return token.PrivateKey{}, err
		}
		return x.readKey(path)
	default:
		return token.PrivateKey{}, errs.Usage("there is no key to sign with").
			WithHint("etcha generate-keys --out operator makes a pair; name it by -i operator or in build.signingKeyPath")
	}
}

func (x *access) readKey(path string) (token.PrivateKey, error) {
	key, err := x.patiently(func() (token.PrivateKey, error) { return token.ReadPrivate(path, x.asker(path)) })
	if errors.Is(err, fs.ErrNotExist) {
		return key, errs.Usage("there is no key file %s", path).
			WithHint("etcha generate-keys --out %s makes a pair of keys", path)
	}
	return key, err
}

// passphraseTries is how often a person may mistype a passphrase.
const passphraseTries = 3

// patiently reads a key, again when the passphrase that somebody typed is wrong.
func (x *access) patiently(read func() (token.PrivateKey, error)) (token.PrivateKey, error) {
	for try := 1; ; try++ {
		key, err := read()
		if !errors.Is(err, token.ErrPassphrase) || x.passphraseFD >= 0 || try == passphraseTries {
			return key, err
		}
		fmt.Fprintln(x.app.stderr, "that is not it, once more")
	}
}

// asker asks for a key's passphrase, once and only when the key has one.
func (x *access) asker(name string) func() ([]byte, error) {
	return func() ([]byte, error) {
		if x.unattended {
			return nil, errNoTerminal
		}
		return x.app.passphrase(x.passphraseFD, name)
	}
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
