package e2e

import "syscall"

// boundToTest makes a child that the kernel kills if the test dies without cleaning up.
func boundToTest() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
