//go:build !linux

package main

import (
	"errors"
	"syscall"
	"time"
)

var errNotLinux = errors.New("what a process uses can be read on Linux only; run this there")

func boundToBench() *syscall.SysProcAttr            { return nil }
func processorTime(int) (time.Duration, error)      { return 0, errNotLinux }
func memory(int) (now, most int64, err error)       { return 0, 0, errNotLinux }
func forgetPeak(int) error                          { return errNotLinux }
func checkDisk(string) error                        { return errNotLinux }
func syncLatencies(string) ([]time.Duration, error) { return nil, errNotLinux }
func machine() string                               { return "unknown machine" }
