//go:build unix && !linux

package main

import "syscall"

// boundToParent makes a child that Ctrl-C in the terminal does not reach: the parent alone decides when it stops.
func boundToParent() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
