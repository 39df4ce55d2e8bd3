package pattern

import (
	"fmt"
	"io"
	"os"

	"etcha/go/resource"
	"etcha/go/token"
)

// WriteArtifact writes an artifact to path, whole or not at all, with a line end.
// A new file gets mode 0644: an artifact is not secret from who may read its
// sources, and is sent as it is.
func WriteArtifact(path, artifact string) error {
	access := resource.Access{}
	if _, err := os.Lstat(path); err != nil {
		access.Mode = "0644"
	}
	return resource.WriteFile(path, []byte(artifact+"\n"), access)
}

// ReadFile reads an artifact's file, at most token.MaxArtifact bytes and a little
// white space.
func ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read artifact: %w", err)
	}
	defer func() { _ = f.Close() }()
	const most = token.MaxArtifact + 1<<10
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && len(text) > most {
		err = fmt.Errorf("larger than %d MiB", token.MaxArtifact>>20)
	}
	if err != nil {
		return nil, fmt.Errorf("read artifact %s: %w", path, err)
	}
	return text, nil
}
