//go:build unix && !linux

package e2e

import "syscall"

// boundToTest makes a child that outlives the test if the test dies without cleaning up: only Linux knows better.
func boundToTest() *syscall.SysProcAttr { return nil }
