package serverconfig

import (
	"fmt"
	"strings"
)

// Help describes every flag for a terminal.
func Help() string {
	var b strings.Builder
	for _, group := range groups {
		fmt.Fprintf(&b, "%s:\n", group)
		for _, f := range Flags {
			if f.Group == group {
				fmt.Fprintf(&b, "  --%s%s\n      %s\n", f.Name, f.shownDefault(), f.explain())
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Markdown is docs/flags.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString(flagsIntroduction)
	for _, group := range groups {
		fmt.Fprintf(&b, "\n## %s\n\n| flag | default | status | meaning here |\n|---|---|---|---|\n", group)
		for _, f := range Flags {
			if f.Group == group {
				fmt.Fprintf(&b, "| `--%s` | %s | %s | %s |\n", f.Name, code(f.Default), f.Status, strings.ReplaceAll(f.explain(), "|", `\|`))
			}
		}
	}
	return b.String()
}

const flagsIntroduction = `# Flags of synod serve

The table that the server itself reads: ` + "`synod serve --help`" + ` prints it, and a test keeps this page equal to it.

Every flag of etcd is known. None is silently ignored; the status says what becomes of it:

- **effective**: it does what it says.
- **accepted**: any well-formed value is taken, because it tunes something that Synod does not have or changes no answer.
- **fixed**: only values that ask for what Synod does anyway are taken; any other stops the start with a message.

A flag is written with one dash or two, ` + "`--name value` or `--name=value`" + `; a boolean's value only after "=".
Each can be set in the environment: ` + "`--listen-client-urls` is `SYNOD_LISTEN_CLIENT_URLS` or `ETCD_LISTEN_CLIENT_URLS`" + `.
A flag comes before the environment, the environment before the default. With ` + "`--config-file`" + ` the file rules alone.
Its keys are the flags' names in YAML; as in etcd, certificates stand under ` + "`client-transport-security` and `peer-transport-security`" + `
and socket options under ` + "`socket-options`" + `.
`

func (f *Flag) shownDefault() string {
	if f.Default == "" {
		return ""
	}
	return " '" + f.Default + "'"
}

// explain adds to the meaning what the status implies.
func (f *Flag) explain() string {
	switch f.Status {
	case Harmless:
		return "Accepted. " + f.Meaning
	case Fixed:
		return "Only " + spellOut(append([]string{f.Default}, f.allowed...)) + ": " + f.Meaning + "."
	}
	return f.Meaning
}

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(text, "|", `\|`) + "`"
}
