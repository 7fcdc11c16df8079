package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
	etcd "go.etcd.io/etcd/api/v3/version"
)

// synodVersion is this program's own version; the API's is etcd.Version.
const synodVersion = "0.1.0"

func newVersion(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of Synod, of the etcd API it speaks and of Go",
		Example: "  synod version",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			fmt.Fprintf(stdout, "synod Version: %s\n", synodVersion)
			printEtcdVersion(stdout)
			return nil
		},
	}
}

// printEtcdVersion prints what `etcd --version` prints; tools read it.
func printEtcdVersion(w io.Writer) {
	fmt.Fprintf(w, "etcd Version: %s\nGit SHA: %s\nGo Version: %s\nGo OS/Arch: %s/%s\n",
		etcd.Version, revision(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// revision is the commit that this binary was built from, as far as the build tells.
func revision() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return "unknown"
}
