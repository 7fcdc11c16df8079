package e2e

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// TestAClusterBeginsAnewWithTheOneDiskThatIsLeft loses two disks of three. The third becomes a new cluster, which holds everything that this disk knew, and which the old members have no part in.
func TestAClusterBeginsAnewWithTheOneDiskThatIsLeft(t *testing.T) {
	c := startCluster(t, 3)
	l := startLoad(c)
	l.awaitWrites(5 * writesBetween)
	l.stop()
	last := c.agree() // so the third disk has all there is
	before := everything(t, c.members[0].api)
	killAtOnce(c.members)
	survivor := c.members[2]
	for _, m := range c.members[:2] {
		if err := os.RemoveAll(m.dir); err != nil {
			t.Fatal(err)
		}
	}
	if said, err := diskCommand("check", survivor.dir); err != nil {
		t.Errorf("check: %v\n%s", err, said)
	}
	into := survivor.dir + ".new"
	if said, err := diskCommand("recover", survivor.dir, "--data-dir", into); err == nil || !strings.Contains(said, "add --accept-loss") {
		t.Errorf("recover without --accept-loss: %v\n%s", err, said)
	}
	if _, err := os.Stat(into); err == nil {
		t.Error("it has done it nevertheless")
	}
	said, err := diskCommand("recover", survivor.dir, "--data-dir", into, "--accept-loss")
	if err != nil {
		t.Fatalf("recover: %v\n%s", err, said)
	}
	t.Logf("%s", said)

	anew := newCluster(t, serve(), placesFor(t, 1))
	anew.members[0].dir = into
	anew.start()
	api := anew.members[0].api
	if after := everything(t, api); !slices.Equal(after, before) {
		t.Errorf("%d keys, %d before", len(after), len(before))
	}
	resp, err := api.Put(t.Context(), "after", "the disaster")
	if err != nil || resp.Header.Revision <= last {
		t.Errorf("a write after it: %v, %v; revision %d was acknowledged", resp, err, last)
	}
	if _, err := os.Stat(filepath.Join(survivor.dir, "log", "vital")); err != nil {
		t.Errorf("the old disk was touched: %v", err)
	}
}

// everything lists all keys with their values and revisions.
func everything(t *testing.T, api *clientv3.Client) (all []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	resp, err := api.Get(ctx, "", clientv3.WithPrefix())
	if err != nil {
		t.Fatal(err)
	}
	for _, kv := range resp.Kvs {
		all = append(all, kv.String())
	}
	return all
}
