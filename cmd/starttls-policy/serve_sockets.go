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

	"github.com/starttls-everywhere/policylist/cmd/internal/sockets"
)

// listen returns systemd's sockets where it passed some, else those of the configuration. systemd holds a socket while
// "serve" is restarted, so that a question waits instead of failing.
func (s *served) listen(ctx context.Context) ([]net.Listener, error) {
	passed, err := sockets.Passed()
	if err != nil || len(passed) > 0 {
		return passed, err
	}
	if len(s.config.Serve.Listen) == 0 {
		return nil, errors.New("no socket to listen on")
	}
	var out []net.Listener
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
	l, err := sockets.Listen(ctx, network, address)
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
