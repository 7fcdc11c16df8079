package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// TestNoFileAndNoLineOfTheLogHoldsAPasswordAndATokenOutlivesTheProcess has a member take passwords in every way there is, stops it so that all is on disk, and
// looks for them there. Then the member goes on, and the token that it gave before is good.
func TestNoFileAndNoLineOfTheLogHoldsAPasswordAndATokenOutlivesTheProcess(t *testing.T) {
	a := newAlone(t)
	process := a.serve(t, "--bcrypt-cost=4", "--log-level=debug")
	process.await(readyLine)
	ctx, auth := patient(t), pb.NewAuthClient(dial(t, a.client))
	secrets := []string{"correct-horse-battery", "staple-and-some-more", "wrong-but-still-mine"}
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(auth.UserAdd(ctx, &pb.AuthUserAddRequest{Name: "root", Password: secrets[0]}))
	must(auth.UserChangePassword(ctx, &pb.AuthUserChangePasswordRequest{Name: "root", Password: secrets[1]}))
	must(auth.RoleAdd(ctx, &pb.AuthRoleAddRequest{Name: "root"}))
	must(auth.UserGrantRole(ctx, &pb.AuthUserGrantRoleRequest{User: "root", Role: "root"}))
	must(auth.AuthEnable(ctx, &pb.AuthEnableRequest{}))
	if _, err := auth.Authenticate(ctx, &pb.AuthenticateRequest{Name: "root", Password: secrets[2]}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a wrong password: %v", err)
	}
	login, err := auth.Authenticate(ctx, &pb.AuthenticateRequest{Name: "root", Password: secrets[1]})
	must(login, err)
	secrets = append(secrets, login.Token)
	process.stops()

	seen := searchFiles(t, a.dir, secrets, "root")
	if seen == 0 {
		t.Error("no file holds even the name of a user; this test looks in the wrong place")
	}
	for _, secret := range secrets {
		if bytes.Contains([]byte(process.output()), []byte(secret)) {
			t.Errorf("the log says %q", secret)
		}
	}

	process = a.serve(t)
	process.await(readyLine)
	shown := metadata.AppendToOutgoingContext(patient(t), "token", login.Token)
	must(pb.NewKVClient(dial(t, a.client)).Put(shown, &pb.PutRequest{Key: []byte("k")}))
	process.stops()
}

// searchFiles fails the test for each secret that a file below dir holds, and returns how many files hold a word that is none.
func searchFiles(t *testing.T, dir string, secrets []string, word string) (seen int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, secret := range secrets {
			if bytes.Contains(content, []byte(secret)) {
				t.Errorf("%s holds %q", path, secret)
			}
		}
		if bytes.Contains(content, []byte(word)) {
			seen++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return seen
}
