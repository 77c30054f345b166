// Package sockets is where both programs get the sockets that they listen on: from systemd, or by themselves.
package sockets

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
)

// Passed returns the sockets that systemd passed to this process, none when it was started in another way. systemd holds
// them while the process is restarted, so that who comes meanwhile waits instead of failing.
func Passed() ([]net.Listener, error) {
	passed, err := activation.Listeners()
	if err != nil {
		return nil, err
	}
	var out []net.Listener
	for _, l := range passed {
		if l != nil { // nil is a socket that is none to listen on
			out = append(out, l)
		}
	}
	return out, nil
}

// Listen listens at an address, network "tcp" or "unix". A unix socket that a killed process left is removed first.
func Listen(ctx context.Context, network, address string) (net.Listener, error) {
	if network == "unix" {
		if err := removeStale(address); err != nil {
			return nil, err
		}
	}
	var config net.ListenConfig
	return config.Listen(ctx, network, address)
}

// removeStale removes a socket that a killed process left. Another file, or a socket that answers, is an error: two of us
// on one path would take turns in deleting it.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is in the way, and no socket", path)
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
		return fmt.Errorf("%s: somebody answers there already", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}
