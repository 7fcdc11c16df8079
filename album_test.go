package synod

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync"

	"synod.dev/synod/disk"
	"synod.dev/synod/paxos"
)

// photos is a state that is large enough for snapshots of several chunks: a count and a hash of all commands, and the last ones themselves. The result of a command is its place, as text.
type photos struct {
	mu     sync.Mutex
	count  uint64
	sum    [32]byte
	recent [][]byte
}

const recentMax = 200

func (p *photos) Apply(commands []Command) []any {
	p.mu.Lock()
	defer p.mu.Unlock()
	results := make([]any, len(commands))
	for i, c := range commands {
		p.count++
		p.sum = sha256.Sum256(append(p.sum[:], c.Data...))
		p.recent = append(p.recent, bytes.Clone(c.Data))
		p.recent = p.recent[max(0, len(p.recent)-recentMax):]
		results[i] = fmt.Sprint(p.count)
	}
	return results
}

func (p *photos) taken() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

// same describes the state, briefly.
func (p *photos) same() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := sha256.New()
	for _, r := range p.recent {
		h.Write(r)
	}
	return fmt.Sprintf("%d commands, %x, %x", p.count, p.sum[:4], h.Sum(nil)[:4])
}

func (p *photos) encode() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	b := binary.LittleEndian.AppendUint64(nil, p.count)
	b = append(b, p.sum[:]...)
	for _, r := range p.recent {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(r)))
		b = append(b, r...)
	}
	return b
}

func (p *photos) decode(b []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(b) < 40 {
		return errors.New("it is cut")
	}
	p.count, p.sum, p.recent = binary.LittleEndian.Uint64(b), [32]byte(b[8:]), nil
	for b = b[40:]; len(b) >= 4; {
		n := int(binary.LittleEndian.Uint32(b))
		if len(b) < 4+n {
			return errors.New("it is cut")
		}
		p.recent = append(p.recent, b[4:4+n])
		b = b[4+n:]
	}
	return nil
}

// still is an image of photos.
type still struct{ *bytes.Reader }

func (still) Close() error { return nil }

func (p *photos) Snapshot() (Image, error) { return still{bytes.NewReader(p.encode())}, nil }

// album is photos in memory.
type album struct {
	photos
	applied int // commands since it was made
}

func (a *album) Applied() paxos.Slot { return 0 }

func (a *album) Apply(commands []Command) []any {
	a.applied += len(commands)
	return a.photos.Apply(commands)
}

func (a *album) Restore(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	return a.decode(b)
}

// cabinet is photos with a disk of their own, which are durable when they are flushed.
type cabinet struct {
	photos
	fs      disk.FS
	dir     string
	opened  paxos.Slot
	applied paxos.Slot

	durable struct {
		sync.Mutex
		slot paxos.Slot
	}
}

func openCabinet(files disk.FS, dir string) (*cabinet, error) {
	c := &cabinet{fs: files, dir: dir}
	if err := files.MkdirAll(dir); err != nil {
		return nil, err
	}
	f, err := files.OpenRead(filepath.Join(dir, "photos"))
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	if _, err := f.ReadAt(b, 0); err != nil && err != io.EOF {
		return nil, err
	}
	c.opened = paxos.Slot(binary.LittleEndian.Uint64(b))
	c.applied, c.durable.slot = c.opened, c.opened
	return c, errors.Join(c.decode(b[8:]), f.Close())
}

func (c *cabinet) Applied() paxos.Slot { return c.opened }

func (c *cabinet) Apply(commands []Command) []any {
	c.applied = commands[len(commands)-1].Slot
	return c.photos.Apply(commands)
}

func (c *cabinet) Advance(slot paxos.Slot) { c.applied = slot }

func (c *cabinet) Durable() (paxos.Slot, error) {
	c.durable.Lock()
	defer c.durable.Unlock()
	return c.durable.slot, nil
}

func (c *cabinet) setDurable(slot paxos.Slot) {
	c.durable.Lock()
	defer c.durable.Unlock()
	c.durable.slot = slot
}

// write makes a state durable under a name.
func (c *cabinet) write(name string, slot paxos.Slot, content []byte) error {
	if err := c.fs.Remove(filepath.Join(c.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := c.fs.Create(filepath.Join(c.dir, name))
	if err != nil {
		return err
	}
	_, err = f.WriteAt(append(binary.LittleEndian.AppendUint64(nil, uint64(slot)), content...), 0)
	return errors.Join(err, f.Datasync(), f.Close())
}

func (c *cabinet) rename(name string) error {
	return errors.Join(c.fs.Rename(filepath.Join(c.dir, name), filepath.Join(c.dir, "photos")), c.fs.SyncDir(c.dir))
}

func (c *cabinet) Flush() {
	if err := errors.Join(c.write("flushed", c.applied, c.encode()), c.rename("flushed")); err != nil {
		panic(err)
	}
	c.setDurable(c.applied)
}

func (c *cabinet) Receive(slot paxos.Slot, r io.Reader) (Installation, error) {
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	return &delivery{c, slot, b}, c.write("received", slot, b)
}

// delivery is photos that a cabinet has received.
type delivery struct {
	c       *cabinet
	slot    paxos.Slot
	content []byte
}

func (d *delivery) Install() error {
	if err := d.c.rename("received"); err != nil {
		return err
	}
	d.c.applied = d.slot
	d.c.setDurable(d.slot)
	return d.c.decode(d.content)
}

func (d *delivery) Discard() error { return d.c.fs.Remove(filepath.Join(d.c.dir, "received")) }
