package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
)

// probeConfig is [probe] of policylist.toml.
type probeConfig struct {
	Enabled       bool   `toml:"enabled"`
	Evidence      string `toml:"evidence"`
	All           bool   `toml:"all"`
	EHLO          string `toml:"ehlo"`
	Resolver      string `toml:"resolver"`
	TrustAD       bool   `toml:"trust-ad"`
	Vantage       string `toml:"vantage"`
	Canary        string `toml:"canary"`
	OptOut        string `toml:"opt-out"`
	Roots         string `toml:"roots"`
	Timeout       string `toml:"timeout"`
	Previous      string `toml:"previous"`
	AllowLoopback bool   `toml:"allow-loopback"`
	SMTPPort      int    `toml:"smtp-port"`
	HTTPSPort     int    `toml:"https-port"`
}

// probeConfigText documents every key of [probe].
const probeConfigText = `[probe]
# Look at the mail servers of every new or changed domain before it is released. Without it, and without evidence, every
# release that changes something says so in the log (override "probe.off"). Have one of both before you list real domains.
enabled = false
# Instead of looking from this machine: what the vantages saw that list.json names. Either one file that starttls-list
# probe merge made, or a folder or s3://bucket/prefix?endpoint=…&region=… where every vantage leaves its newest
# evidence as *.jsonl or *.jsonl.zst, one file each or one for each shard. Older than a day, it lets nothing new in.
evidence = ""
# Probe all entries at each release, not only those that change.
all = false
# Full host name of this machine; mail servers turn away visitors without one.
ehlo = ""
# Recursive DNS resolver, ADDRESS:PORT; "" takes the first of /etc/resolv.conf.
resolver = ""
# The resolver validates DNSSEC and the way to it is safe: believe its AD bit.
trust-ad = false
# Name of this observer in the evidence.
vantage = ""
# A domain known to be good: when it looks wrong, all results are inconclusive.
canary = ""
# File with those who asked not to be probed: a domain, host name, address or block of addresses a line; "" for nobody.
opt-out = ""
# PEM file with root certificates; "" takes the built-in Mozilla roots.
roots = ""
# Longest duration of one SMTP session; "" is 90s.
timeout = ""
# Evidence of an earlier scan by this vantage, or of a release, to tell since when a verdict stands; "" for none.
previous = ""
# For a lab: permit targets on loopback, and other ports than 25 of mail servers and 443 of MTA-STS policy hosts.
allow-loopback = false
smtp-port = 25
https-port = 443
`

func (c *config) checkProbe() error {
	for _, p := range []struct {
		key  string
		port int
	}{{"smtp-port", c.Probe.SMTPPort}, {"https-port", c.Probe.HTTPSPort}} {
		if p.port < 0 || p.port > 65535 {
			return fmt.Errorf("[probe] %s: %d is no TCP port", p.key, p.port)
		}
	}
	if c.Probe.Enabled && c.Probe.Evidence != "" {
		return errors.New("[probe] enabled and evidence exclude each other: either this machine looks, or the vantages do")
	}
	if c.Probe.Evidence != "" {
		switch scheme, _, err := splitReference(c.Probe.Evidence); {
		case err != nil:
			return fmt.Errorf("[probe] evidence: %w", err)
		case scheme != "file" && scheme != "s3":
			return fmt.Errorf("[probe] evidence: %q is neither a file, a folder nor s3://bucket/prefix", c.Probe.Evidence)
		}
	}
	_, err := c.probeTimeout()
	return err
}

func (c *config) probeTimeout() (time.Duration, error) {
	if c.Probe.Timeout == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(c.Probe.Timeout)
	if err != nil || d < time.Second || d > time.Hour {
		return 0, fmt.Errorf("[probe] timeout: %q is no duration of 1s to 1h", c.Probe.Timeout)
	}
	return d, nil
}

func (c *config) observer() (pipeline.Observer, error) {
	o := probe.Options{
		EHLO: c.Probe.EHLO, TrustAD: c.Probe.TrustAD, Vantage: c.Probe.Vantage, Tool: "starttls-list " + version,
		AllowLoopback: c.Probe.AllowLoopback, SMTPPort: c.Probe.SMTPPort, HTTPSPort: c.Probe.HTTPSPort,
	}
	var err error
	if o.Timeout, err = c.probeTimeout(); err != nil {
		return nil, err
	}
	if o.Resolver, err = resolverAddr(c.Probe.Resolver); err != nil {
		return nil, fmt.Errorf("[probe] resolver: %w", err)
	}
	if c.Probe.Canary != "" {
		if o.Canary, err = policy.ParseDomain(c.Probe.Canary); err != nil {
			return nil, fmt.Errorf("[probe] canary: %w", err)
		}
	}
	if c.Probe.OptOut != "" {
		if o.OptOut, err = readOptOut(c.path(c.Probe.OptOut)); err != nil {
			return nil, fmt.Errorf("[probe] opt-out: %w", err)
		}
	}
	if c.Probe.Roots != "" {
		text, err := readFile(c.path(c.Probe.Roots), maxSmallFile)
		if err != nil {
			return nil, fmt.Errorf("[probe] roots: %w", err)
		}
		if o.Roots, err = probe.ParseRoots(text); err != nil {
			return nil, fmt.Errorf("[probe] roots: %w", err)
		}
	}
	if c.Probe.Previous != "" {
		if o.Previous, err = readPrevious(c.path(c.Probe.Previous), c.Probe.Vantage); err != nil {
			return nil, fmt.Errorf("[probe] previous: %w", err)
		}
	}
	p, err := probe.New(o)
	if err != nil {
		return nil, fmt.Errorf("[probe]: %w", err)
	}
	return p, nil
}

// evidenceSource is where the vantages leave what they saw, nil when this machine looks itself or nobody does.
func (c *config) evidenceSource() pipeline.EvidenceSource {
	if c.Probe.Evidence == "" {
		return nil
	}
	return func(ctx context.Context) ([]probe.EvidenceFile, error) {
		scheme, folder, err := splitReference(c.Probe.Evidence)
		switch {
		case err != nil:
			return nil, err
		case scheme == "s3":
			return evidenceInStore(ctx, c.Probe.Evidence)
		}
		return evidenceInFolder(c.path(folder))
	}
}

// evidenceInFolder is a file, or all evidence in a folder.
func evidenceInFolder(path string) ([]probe.EvidenceFile, error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return evidenceInputs([]string{path}), err
	}
	var paths []string
	for _, pattern := range []string{"*.jsonl", "*.jsonl.zst"} {
		found, err := filepath.Glob(filepath.Join(path, pattern))
		if err != nil {
			return nil, err
		}
		paths = append(paths, found...)
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s holds no *.jsonl and no *.jsonl.zst", path)
	}
	return evidenceInputs(paths), nil
}

// maxStoredEvidence caps a vantage's file in a bucket, as it is stored there.
const maxStoredEvidence = 1 << 30

// evidenceInStore fetches all evidence below s3://…, once, so that nobody can change it between two readings.
func evidenceInStore(ctx context.Context, ref string) ([]probe.EvidenceFile, error) {
	store, err := openS3(ctx, ref)
	if err != nil {
		return nil, err
	}
	var files []probe.EvidenceFile
	for name, err := range store.List(ctx, "") {
		if err != nil {
			return nil, err
		}
		if !strings.HasSuffix(name, ".jsonl") && !strings.HasSuffix(name, ".jsonl.zst") {
			continue
		}
		// One that cannot be had, or is too large, is its vantage's misfortune, and not all others'.
		data, err := store.Get(ctx, name, maxStoredEvidence)
		files = append(files, probe.EvidenceFile{Name: name, Open: func() (io.ReadCloser, error) {
			if err != nil {
				return nil, err
			}
			return decompressed(name, io.NopCloser(bytes.NewReader(data)))
		}})
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s holds no *.jsonl and no *.jsonl.zst", ref)
	}
	return files, nil
}
