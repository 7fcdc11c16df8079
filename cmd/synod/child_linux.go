package main

import "syscall"

// boundToParent makes a child that the kernel kills when its parent dies, however that comes about, and that Ctrl-C in the
// terminal does not reach: the parent alone decides when it stops.
func boundToParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
