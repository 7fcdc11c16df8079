package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// boundToBench makes a child that the kernel kills when the thread that started it ends, however that comes about, and that Ctrl-C in the terminal does
// not reach.
func boundToBench() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// clockTick is the kernel's unit of processor time in /proc, fixed for user space.
const clockTick = 10 * time.Millisecond

// processorTime is how long a process has computed, in user mode and in the kernel.
func processorTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:])) // the name before it may hold anything
	const user, system = 11, 12                                               // after the name
	if len(fields) <= system {
		return 0, fmt.Errorf("/proc/%d/stat is too short", pid)
	}
	var ticks int64
	for _, field := range fields[user : system+1] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/%d/stat: %w", pid, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}

// memory is how many bytes of a process are resident now, and how many were at most since forgetPeak.
func memory(pid int) (now, most int64, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(status)) {
		fmt.Sscanf(line, "VmRSS: %d kB", &now)
		fmt.Sscanf(line, "VmHWM: %d kB", &most)
	}
	if now == 0 || most == 0 {
		return 0, 0, fmt.Errorf("/proc/%d/status tells no memory", pid)
	}
	return now << 10, most << 10, nil
}

// forgetPeak makes memory count the peak from now on.
func forgetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}

// checkDisk refuses a directory that is no place to measure durability in.
func checkDisk(dir string) error {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if fs.Type == unix.TMPFS_MAGIC || fs.Type == unix.RAMFS_MAGIC {
		return fmt.Errorf("%s is in memory, so nothing there is durable; give -dir on a real disk", dir)
	}
	return nil
}

// syncLatencies measures what it takes to make 4 KiB durable in a file of zeroes, in order from the fastest.
func syncLatencies(dir string) (sorted []time.Duration, err error) {
	const block, blocks, rounds = 4096, 256, 400
	file, err := os.CreateTemp(dir, "fdatasync")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	if _, err := file.Write(make([]byte, block*blocks)); err != nil {
		return nil, err
	}
	if err := file.Sync(); err != nil {
		return nil, err
	}
	for i := range rounds {
		began := time.Now()
		if _, err := file.WriteAt(bytes.Repeat([]byte{byte(i)}, block), int64(i%blocks*block)); err != nil {
			return nil, err
		}
		if err := unix.Fdatasync(int(file.Fd())); err != nil {
			return nil, err
		}
		sorted = append(sorted, time.Since(began))
	}
	slices.Sort(sorted)
	return sorted, nil
}

// machine describes processor, memory and kernel in one line.
func machine() string {
	model := "unknown processor"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	var system unix.Sysinfo_t
	var name unix.Utsname
	if unix.Sysinfo(&system) != nil || unix.Uname(&name) != nil {
		return model
	}
	return fmt.Sprintf("%s, %d GiB, Linux %s, load %.1f at the start", model, uint64(system.Totalram)*uint64(system.Unit)>>30,
		unix.ByteSliceToString(name.Release[:]), float64(system.Loads[0])/(1<<16))
}
