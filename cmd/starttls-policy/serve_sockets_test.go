package main

import (
	"fmt"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"syscall"
	"testing"
)

// TestSocketModeAndGroup: mode and group of the socket are those of the configuration, whatever the umask; a file that is no
// socket is never removed for it, and one that somebody answers at stays his.
func TestSocketModeAndGroup(t *testing.T) {
	groups, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	ours := append([]int{os.Getgid()}, groups...)
	group, err := user.LookupGroupId(fmt.Sprint(ours[len(ours)-1]))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Umask(syscall.Umask(0o077))
	m := newMachine(t, "[serve]\nlisten = [\"unix:DIR/sock\"]\nmode = \"0626\"\ngroup = \""+group.Name+"\"\nsources = [\"list\"]\nupdate = \"off\"\n")
	s := m.serving(&m.out)
	path := filepath.Join(m.dir, "sock")
	listeners, err := s.listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Sys().(*syscall.Stat_t).Gid; info.Mode().Perm() != 0o626 || fmt.Sprint(got) != group.Gid {
		t.Errorf("mode %v, group %d, want 0626 and %s", info.Mode().Perm(), got, group.Gid)
	}
	if _, err := s.listen(t.Context()); err == nil {
		t.Error("a socket that somebody answers at is taken away")
	}
	if c, err := net.Dial("unix", path); err != nil {
		t.Errorf("the first one is gone: %v", err)
	} else {
		c.Close()
	}
	closeAll(listeners)
	if err := os.WriteFile(path, []byte("a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.listen(t.Context()); err == nil {
		t.Error("a file is removed for the socket")
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "a file" {
		t.Errorf("%q, %v", data, err)
	}
}
