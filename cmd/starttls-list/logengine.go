package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/transparency/tilelog"
	"github.com/starttls-everywhere/policylist/transparency/trillianlog"
)

// The engines that [log] can name; none named is the embedded one.
const (
	engineEmbedded = "embedded"
	engineTrillian = "trillian"
)

// logConfig is [log] of policylist.toml.
type logConfig struct {
	Engine      string `toml:"engine"`
	Address     string `toml:"address"`
	Tree        int64  `toml:"tree"`
	Plaintext   bool   `toml:"plaintext"`
	CA          string `toml:"ca"`
	ServerName  string `toml:"server-name"`
	Certificate string `toml:"certificate"`
	Key         string `toml:"key"`
}

func (c *config) checkLog() error {
	l := c.Log
	withTLS := l.CA != "" || l.ServerName != "" || l.Certificate != "" || l.Key != ""
	switch l.Engine {
	case "", engineEmbedded:
		return nil // what is set for the other engine may stay for the day of a move
	case engineTrillian:
	default:
		return fmt.Errorf("[log] engine: %q is neither %q nor %q", l.Engine, engineEmbedded, engineTrillian)
	}
	switch {
	case l.Address == "" || l.Tree <= 0:
		return errors.New("[log] engine = \"trillian\" needs the address of the server and the id of the tree")
	case l.Plaintext && withTLS:
		return errors.New("[log] plaintext = true and ca, server-name, certificate or key exclude each other")
	case (l.Certificate == "") != (l.Key == ""):
		return errors.New("[log] certificate and key go together")
	}
	return nil
}

func openTileLog(dir string) (pipeline.Log, error) { return tilelog.Open(dir) }

// openLog returns what opens the configured engine for a publisher.
func (c *config) openLog(ctx context.Context, p *pipeline.Publisher) func(dir string) (pipeline.Log, error) {
	if c.Log.Engine != engineTrillian {
		return openTileLog
	}
	return func(dir string) (pipeline.Log, error) {
		o, err := c.trillian(dir)
		if err != nil {
			return nil, err
		}
		if o.Known, err = p.SignedTree(); err != nil {
			return nil, err
		}
		return trillianlog.Open(ctx, dir, o)
	}
}

// errEarlierLog means that [log] still names the tree of the log before the last change of origin.
var errEarlierLog = errors.New("the tree holds an earlier log of this list")

// trillian returns the options of [log] for the log in the folder dir.
func (c *config) trillian(dir string) (trillianlog.Options, error) {
	o := trillianlog.Options{Address: c.Log.Address, Tree: c.Log.Tree}
	// A new origin is a new log: its folder must not be filled with the leaves of the old one.
	siblings, err := filepath.Glob(filepath.Join(filepath.Dir(dir), "log*"))
	if err != nil {
		return o, err
	}
	for _, other := range siblings {
		if other == dir {
			continue
		}
		if bound, err := trillianlog.BoundTree(other); err != nil || bound == o.Tree {
			return o, errors.Join(err, fmt.Errorf("%w: %d is that of %s; make a new one with createtree", errEarlierLog, o.Tree, other))
		}
	}
	if !c.Log.Plaintext {
		o.TLS, err = c.Log.tls(c.path)
	}
	return o, err
}

func (l logConfig) tls(path func(string) string) (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: l.ServerName}
	if l.CA != "" {
		pem, err := readFile(path(l.CA), maxSmallFile)
		if err != nil {
			return nil, fmt.Errorf("[log] ca: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("[log] ca: %s has no PEM certificate", path(l.CA))
		}
	}
	if l.Certificate != "" {
		pair, err := tls.LoadX509KeyPair(path(l.Certificate), path(l.Key))
		if err != nil {
			return nil, fmt.Errorf("[log] certificate and key: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}
