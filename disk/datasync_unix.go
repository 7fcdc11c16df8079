//go:build unix && !linux

package disk

// Datasync is a full sync where the system has nothing finer.
func (f osFile) Datasync() error { return f.Sync() }
