package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// program is something that is built for a bench. Programs of other modules than the root come with all they need from the module proxy.
type program struct {
	name   string // of the executable
	module string // the folder of the module that says in which versions
	pkg    string
}

// etcdBenchmark is etcd's own load generator, library what the programs of the library contenders' names begin with.
const etcdBenchmark, library = "benchmark", "library-"

// programs are all there are. etcd comes in the version that the end-to-end tests compare with.
var programs = []program{
	{synod, ".", "./cmd/synod"},
	{nothing, ".", "./bench/nothing"},
	{etcd, "e2e", "go.etcd.io/etcd/server/v3"},
	{etcdBenchmark, "e2e", "go.etcd.io/etcd/v3/tools/benchmark"},
	{library + synod, "bench/compare/synod", "."},
	{library + etcdraft, "bench/compare/etcdraft", "."},
	{library + dragonboat, "bench/compare/dragonboat", "."},
	{library + hashicorp, "bench/compare/hashicorp", "."},
}

// build builds the named programs of the source tree at root into dir.
func build(ctx context.Context, root, dir string, names []string, say func(format string, args ...any)) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, p := range programs {
		if !slices.Contains(names, p.name) {
			continue
		}
		say("building %s", p.name)
		command := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, p.name), p.pkg)
		command.Dir = filepath.Join(root, p.module)
		if p.module == "." {
			command.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is released
		}
		if output, err := command.CombinedOutput(); err != nil {
			return fmt.Errorf("cannot build %s: %w: %s", p.name, err, oneLine(output))
		}
	}
	return nil
}

// needed returns the programs that cells run.
func needed(cells []*cell) []string {
	var names []string
	for _, c := range cells {
		for _, contender := range c.contenders {
			if c.stage == libraryStage {
				contender = library + contender
			}
			names = append(names, contender)
		}
		if c.stage == loadStage {
			names = append(names, etcdBenchmark)
		}
	}
	return names
}

// sourceRoot returns the folder of the module whose sources are measured.
func sourceRoot(ctx context.Context) (string, error) {
	output, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	file := strings.TrimSpace(string(output))
	if err != nil || filepath.Base(file) != "go.mod" {
		return "", errors.New("run this in the source tree, with go in the path")
	}
	return filepath.Dir(file), nil
}

// commit is the commit of the source tree at hand, with a plus if there is more than that in it, or "unknown".
func commit(ctx context.Context) string {
	head, err := exec.CommandContext(ctx, "git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	name := strings.TrimSpace(string(head))
	if changes, err := exec.CommandContext(ctx, "git", "status", "--porcelain", "--untracked-files=no").Output(); err != nil || len(changes) > 0 {
		name += "+"
	}
	return name
}

// oneLine is the end of some output, as one line.
func oneLine(output []byte) string {
	const most = 400
	text := strings.Join(strings.Fields(string(output)), " ")
	return text[max(0, len(text)-most):]
}
