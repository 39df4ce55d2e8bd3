package cli

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"etcha/go/config"
)

func writeConfiguration(b *bytes.Buffer, _ *cobra.Command) {
	front(b, "Configuration", "Every key, its type and default.", 1)
	fmt.Fprintf(b, `One tree, merged in this order; later wins:

1. defaults
2. a file, Jsonnet or JSON: `+"`-c FILE`, else `%s`"+` in the working directory or the nearest
   folder above it, else `+"`/etc/etcha/%s`"+`
3. the environment: `+"`etcha_config`"+` (a whole configuration), then `+"`etcha_run_stateDir=/var/lib/etcha`"+`
   (the path with `+"`_`, a literal underscore as `__`"+`)
4. `+"`-x run_stateDir=/srv/etcha`"+`, repeatable; a value that starts with `+"`{` or `[`"+` is JSON

`+"`etcha config --origin` shows what is in force and where it comes from; `etcha config check`"+` says
everything that is wrong. Unknown keys are errors. Durations are Go durations (`+"`90s`, `10m`"+`); sizes are
bytes, or `+"`1MiB`. `NAME`"+` stands for any name.

`, config.FileName, config.FileName)
	for _, group := range keyGroups(config.Describe()) {
		writeKeys(b, group)
	}
}

// keyGroups splits keys by their first part, in the order they are in. Keys that
// are like another are left to that one.
func keyGroups(keys []config.Key) [][]config.Key {
	var groups [][]config.Key
	for _, k := range keys {
		if len(groups) > 0 && topKey(groups[len(groups)-1][0]) == topKey(k) {
			groups[len(groups)-1] = append(groups[len(groups)-1], k)
		} else {
			groups = append(groups, []config.Key{k})
		}
	}
	return groups
}

func topKey(k config.Key) string {
	top, _, _ := strings.Cut(k.Path, ".")
	return top
}

func writeKeys(b *bytes.Buffer, keys []config.Key) {
	top := keys[0]
	fmt.Fprintf(b, "## %s\n\n", top.Path)
	if top.Doc != "" {
		fmt.Fprintf(b, "%s\n\n", sentence(top.Doc))
	}
	if len(keys) == 1 {
		fmt.Fprintf(b, "%s\n\n", sentence(top.Type))
		return
	}
	b.WriteString("| key | type | default | meaning |\n|---|---|---|---|\n")
	for _, k := range keys[1:] {
		if k.Same != "" {
			continue
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", k.Path, cell(k.Type), code(k.Default), cell(k.Doc))
	}
	b.WriteString("\n")
	if like := likeExec(keys); len(like) > 0 {
		fmt.Fprintf(b, "The keys of [exec](#exec) also stand in `%s`.\n\n", strings.Join(like, "`, `"))
	}
}

// likeExec is where the keys of an exec stand too.
func likeExec(keys []config.Key) []string {
	var at []string
	for _, k := range keys {
		parent := k.Path[:max(0, strings.LastIndex(k.Path, "."))]
		if k.Same != "" && (len(at) == 0 || at[len(at)-1] != parent) {
			at = append(at, parent)
		}
	}
	return at
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(s, "|", `\|`) + "`"
}

// sentence begins a text with a capital letter and ends it with a full stop.
func sentence(s string) string {
	return strings.TrimSuffix(strings.ToUpper(s[:1])+s[1:], ".") + "."
}
