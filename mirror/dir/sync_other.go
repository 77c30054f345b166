//go:build !linux

package dir

// syncTree makes files and folders durable.
func (s *Store) syncTree(names []string) error { return s.syncEach(names) }
