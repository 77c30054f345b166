package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/activation"
)

// listen returns systemd's sockets where it passed some, else those of the configuration. systemd holds a socket while
// "serve" is restarted, so that a question waits instead of failing.
func (s *served) listen(ctx context.Context) ([]net.Listener, error) {
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
	if len(out) > 0 {
		return out, nil
	}
	if len(s.config.Serve.Listen) == 0 {
		return nil, errors.New("no socket to listen on")
	}
	for _, place := range s.config.Serve.Listen {
		l, err := s.listenAt(ctx, place)
		if err != nil {
			closeAll(out)
			return nil, err
		}
		out = append(out, l)
	}
	return out, nil
}

func (s *served) listenAt(ctx context.Context, place listenPlace) (net.Listener, error) {
	network, address := place.split()
	if !place.loopback() {
		s.log.Warn("everybody who reaches this address can ask, unencrypted", "address", address)
	}
	if network == "unix" {
		if err := removeStale(address); err != nil {
			return nil, err
		}
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, network, address)
	if err != nil || network != "unix" {
		return l, err
	}
	if err := s.permit(address); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// permit gives the socket the configured mode and group.
func (s *served) permit(path string) error {
	if name := s.config.Serve.Group; name != "" {
		group, err := user.LookupGroup(name)
		if err != nil {
			return fmt.Errorf("[serve] group: %w", err)
		}
		id, err := strconv.Atoi(group.Gid)
		if err != nil {
			return err
		}
		if err := os.Chown(path, -1, id); err != nil {
			return err
		}
	}
	return os.Chmod(path, fs.FileMode(s.config.Serve.Mode))
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
