package etcha_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"
	"time"

	"etcha"
)

// Run a program on a node and pass its output and status on.
func Example() {
	text, err := os.ReadFile("/home/alice/.config/etcha/key")
	if err != nil {
		log.Fatal(err)
	}
	key, err := etcha.ParseKey(string(text), nil)
	if err != nil {
		log.Fatal(err)
	}
	client, err := etcha.NewClient(etcha.Options{
		URL:        "https://myhost:4000",
		Signer:     key,
		KnownNodes: "/home/alice/.config/etcha/known-nodes",
		Notify:     func(e etcha.Event) { fmt.Fprintln(os.Stderr, e.Text) },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	session, err := client.Open(ctx, etcha.Request{
		Source: "debug",
		Args:   []string{"df", "-h"},
		Stdout: os.Stdout,
		Stderr: os.Stderr,
	})
	if err != nil {
		log.Fatal(err)
	}
	var exit *etcha.ExitError
	switch err := session.Wait(); {
	case errors.As(err, &exit):
		os.Exit(exit.Code)
	case err != nil:
		log.Fatal(err)
	}
}

// Feed a program and end a session with a context.
func ExampleSession_CloseWrite() {
	ctx := context.Background()
	client := exampleClient()
	session, err := client.Open(ctx, etcha.Request{
		Source: "debug",
		Args:   []string{"tar", "-C", "/srv/app", "-xf", "-"},
		Stderr: os.Stderr,
	})
	if err != nil {
		log.Fatal(err)
	}
	stop := context.AfterFunc(ctx, func() { session.Close() })
	defer stop()

	archive, err := os.Open("app.tar")
	if err != nil {
		log.Fatal(err)
	}
	defer archive.Close()
	if _, err := io.Copy(session, archive); err != nil {
		log.Fatal(err)
	}
	if err := session.CloseWrite(); err != nil {
		log.Fatal(err)
	}
	if err := session.Wait(); err != nil {
		log.Fatal(err)
	}
}

// Talk to a shell on a terminal.
func ExampleClient_Open_terminal() {
	client := exampleClient()
	session, err := client.Open(context.Background(), etcha.Request{
		Source: "debug",
		PTY:    true,
		Term:   "xterm-256color",
		Cols:   80,
		Rows:   24,
		Stdout: os.Stdout,
	})
	var refused *etcha.RefusedError
	switch {
	case errors.Is(err, etcha.ErrUntrusted):
		log.Fatalf("do not type a password: %v", err)
	case errors.As(err, &refused):
		log.Fatalf("%v\n%s", err, refused.Hint)
	case err != nil:
		log.Fatal(err)
	}
	defer session.Close()
	if _, err := io.Copy(session, strings.NewReader("uptime\nexit\n")); err != nil {
		log.Fatal(err)
	}
	if err := session.Wait(); err != nil {
		log.Fatal(err)
	}
}

func exampleClient() *etcha.Client {
	client, err := etcha.NewClient(etcha.Options{
		URL:    "https://myhost:4000",
		NodeID: "SHA256:LGsBLHhZDXMP5I7hjbmdSdpcYcaQtDGLPy3WjFuSHFo",
	})
	if err != nil {
		log.Fatal(err)
	}
	return client
}

// The key pair of the manual.
func ExampleParseKey() {
	key, err := etcha.ParseKey("ed25519private:MC4CAQAwBQYDK2VwBCIEIBq+BhDRYk8OJv1ksMwKtf0td5p3FGwypXq96gHKefGS:reqYEklgP4", nil)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(key.PublicKey())
	// Output: ed25519public:MCowBQYDK2VwAyEAw7eTEuEH0+TfgtX3zB+JZVnYD0eskY6qn3n7ZCA7wWM=:reqYEklgP4
}

// Leave a program running, and go on with it later, from anywhere.
func ExampleClient_Attach() {
	ctx := context.Background()
	client := exampleClient()
	session, err := client.Open(ctx, etcha.Request{Source: "debug", Args: []string{"make", "world"}, Detach: true})
	if err != nil {
		log.Fatal(err)
	}
	id := session.ID()
	if err := session.Detach(); err != nil {
		log.Fatal(err)
	}

	session, err = client.Attach(ctx, etcha.AttachRequest{Session: id, Stdout: os.Stdout, Stderr: os.Stderr})
	if err != nil {
		log.Fatal(err)
	}
	if err := session.Wait(); err != nil {
		log.Fatal(err)
	}
}
