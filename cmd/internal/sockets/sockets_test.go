package sockets_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/starttls-everywhere/policylist/cmd/internal/sockets"
)

// A socket that nobody answers on any more gives way; one that somebody answers on, and any other file, does not.
func TestListen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	first, err := sockets.Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sockets.Listen(t.Context(), "unix", path); err == nil {
		t.Error("a socket in use was taken")
	}
	first.(*net.UnixListener).SetUnlinkOnClose(false) // as a killed process
	first.Close()
	second, err := sockets.Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := sockets.Listen(t.Context(), "unix", path); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file was taken: %v", err)
	}
	if passed, err := sockets.Passed(); err != nil || len(passed) != 0 {
		t.Errorf("systemd passed %v, %v", passed, err)
	}
}
