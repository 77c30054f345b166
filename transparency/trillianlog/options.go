package trillianlog

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	// defaultTimeout bounds one call: the server answers within milliseconds, a database that fails over within seconds.
	defaultTimeout = 30 * time.Second
	// defaultPatience is a minute more than the most that a signer waits by default before it takes up a tree again
	// (Trillian's --master_hold_interval of 60 s).
	defaultPatience = 2 * time.Minute
)

// Options say which tree of which server is the log.
type Options struct {
	Address string      // of the log server, host:port
	Tree    int64       // its id, which createtree printed
	TLS     *tls.Config // nil: neither encrypted nor authenticated, for a server on this machine

	// Known is a tree that the log is known to have had, such as the last that was signed; zero for none. A server
	// whose log does not contain it is refused, even when the folder is empty.
	Known tlog.Tree

	Timeout  time.Duration // of one call; 0 is 30 s
	Patience time.Duration // that the signer may take without integrating a single leaf; 0 is 2 min
}

// ErrOptions means that the options name no tree of a server.
var ErrOptions = errors.New("no tree of a Trillian server")

// complete checks the options and fills in what is 0.
func (o Options) complete() (Options, error) {
	switch {
	case o.Address == "":
		return o, fmt.Errorf("%w: the address is missing", ErrOptions)
	case o.Tree <= 0:
		return o, fmt.Errorf("%w: %d is not the id of a tree", ErrOptions, o.Tree)
	}
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Patience == 0 {
		o.Patience = defaultPatience
	}
	return o, nil
}

func (o Options) credentials() credentials.TransportCredentials {
	if o.TLS == nil {
		return insecure.NewCredentials()
	}
	return credentials.NewTLS(o.TLS)
}
