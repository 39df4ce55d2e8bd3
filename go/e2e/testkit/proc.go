//go:build linux

package testkit

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Process is a row of /proc.
type Process struct {
	Pid     int
	PPid    int
	Cmdline string // arguments joined by spaces
	Environ string
}

// Processes lists what runs, zombies left out.
func Processes(t testing.TB) []Process {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var all []Process
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		stat, err := os.ReadFile(filepath.Join(dir, "stat"))
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 2 || fields[0] == "Z" || fields[0] == "X" {
			continue
		}
		ppid, _ := strconv.Atoi(fields[1])
		cmdline, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		environ, _ := os.ReadFile(filepath.Join(dir, "environ"))
		all = append(all, Process{
			Pid: pid, PPid: ppid,
			Cmdline: strings.TrimSpace(strings.ReplaceAll(string(cmdline), "\x00", " ")),
			Environ: string(environ),
		})
	}
	return all
}

// Running reports whether a process has marker in its arguments.
func Running(t testing.TB, marker string) bool {
	t.Helper()
	for _, p := range Processes(t) {
		if strings.Contains(p.Cmdline, marker) && p.Pid != os.Getpid() {
			return true
		}
	}
	return false
}

// Descriptors counts the open descriptors of a process.
func Descriptors(t testing.TB, pid int) int {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join("/proc", strconv.Itoa(pid), "fd"))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// Terminals counts the pseudo-terminals that are in use on the machine.
func Terminals(t testing.TB) int {
	t.Helper()
	entries, err := os.ReadDir("/dev/pts")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
