package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"synod.dev/synod/disk"
	"synod.dev/synod/internal/freeport"
)

// shapeFile, in the data directory of `synod up`, is how the same cluster is started again.
const shapeFile = "cluster.json"

// shape is what a local cluster consists of.
type shape struct {
	Token   string        `json:"token"`
	Members []localMember `json:"members"`
}

// localMember is one member process on this machine.
type localMember struct {
	Name   string `json:"name"`
	Client string `json:"client"` // host:port
	Peer   string `json:"peer"`   // host:port
}

// nodesLimit bounds a local cluster: more processes would measure the machine's patience only.
const nodesLimit = 15

// newShape lays out a cluster: client ports from base upwards, each member's peer port behind its client port. With base 0 it takes ports that are free now.
func newShape(nodes, base int) (shape, error) {
	if nodes < 1 || nodes > nodesLimit {
		return shape{}, usageError{fmt.Errorf("--nodes %d: give 1 to %d", nodes, nodesLimit)}
	}
	if base != 0 && (base < 1 || base+2*nodes-1 > 65535) {
		return shape{}, usageError{fmt.Errorf("--client-port-base %d: give a port that leaves room for %d up to 65535", base, 2*nodes)}
	}
	addresses, err := freeport.Take(2 * nodes)
	if err != nil {
		return shape{}, err
	}
	s := shape{Token: "up-" + rand.Text()}
	for i := range nodes {
		m := localMember{Name: "m" + strconv.Itoa(i+1), Client: addresses[2*i], Peer: addresses[2*i+1]}
		if base != 0 {
			m.Client = net.JoinHostPort("127.0.0.1", strconv.Itoa(base+2*i))
			m.Peer = net.JoinHostPort("127.0.0.1", strconv.Itoa(base+2*i+1))
		}
		s.Members = append(s.Members, m)
	}
	return s, nil
}

// loadShape reads the shape of the cluster in dir; found is false if there is none.
func loadShape(dir string) (s shape, found bool, err error) {
	path := filepath.Join(dir, shapeFile)
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return shape{}, false, nil
	}
	if err != nil {
		return shape{}, false, fmt.Errorf("cannot read the cluster's shape: %w", err)
	}
	if err := json.Unmarshal(content, &s); err != nil || len(s.Members) == 0 || len(s.Members) > nodesLimit || s.Token == "" {
		return shape{}, false, fmt.Errorf("%s is damaged; restore it, or start a new cluster in another --data-dir", path)
	}
	return s, true, nil
}

// save writes the shape before any member starts: a cluster must not exist without it.
func (s shape) save(dir string) error {
	content, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	if err := disk.Replace(disk.OS(), filepath.Join(dir, shapeFile), append(content, '\n')); err != nil {
		return fmt.Errorf("cannot write the cluster's shape: %w", err)
	}
	return nil
}

func (s shape) initialCluster() string {
	var entries []string
	for _, m := range s.Members {
		entries = append(entries, m.Name+"=http://"+m.Peer)
	}
	return strings.Join(entries, ",")
}

func (s shape) endpoints() string {
	var endpoints []string
	for _, m := range s.Members {
		endpoints = append(endpoints, m.Client)
	}
	return strings.Join(endpoints, ",")
}

// serveArguments are what to start m with.
func (s shape) serveArguments(m localMember, dir string) []string {
	return []string{"serve",
		"--name=" + m.Name,
		"--data-dir=" + filepath.Join(dir, m.Name),
		"--listen-client-urls=http://" + m.Client,
		"--advertise-client-urls=http://" + m.Client,
		"--listen-peer-urls=http://" + m.Peer,
		"--initial-advertise-peer-urls=http://" + m.Peer,
		"--initial-cluster=" + s.initialCluster(),
		"--initial-cluster-token=" + s.Token,
	}
}
