package pty

import (
	"os"
	"syscall"
	"testing"
)

const nobodyID = 65534

func nobody() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobodyID, Gid: nobodyID, Groups: []uint32{nobodyID}}}
}

func nobodysFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "etcha-pty-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chown(dir, nobodyID, nobodyID); err != nil {
		t.Fatal(err)
	}
	return dir
}
