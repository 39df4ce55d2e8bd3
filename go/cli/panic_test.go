package cli

import (
	"fmt"
	"os"
	"sync"
)

// panicWhileRaw is a program that panics in a goroutine of a session while the
// terminal is raw.
func panicWhileRaw() {
	r := &remote{app: newApp(Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr}), tty: &tty{in: os.Stdin, out: os.Stdout}}
	if err := r.tty.enter(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Print("raw now\r\n")
	var never sync.WaitGroup
	never.Add(1)
	r.spawn(func() {
		os.Stdin.Read(make([]byte, 1))
		panic("as the test wants it")
	})
	never.Wait()
}
