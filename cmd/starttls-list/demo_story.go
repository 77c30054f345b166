package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/audit"
	"github.com/starttls-everywhere/policylist/mirror/dir"
	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mta"
	"github.com/starttls-everywhere/policylist/transparency"
)

// The demo client's folder and the map that Postfix would read.
const (
	demoClientDir = "client"
	demoMapFile   = "postfix.map"
)

// demo is one telling of the story.
type demo struct {
	ctx   context.Context
	out   io.Writer
	dir   string
	lab   *lab.Lab
	trust *transparency.Trust
	keys  pipeline.Keys
	web   *demoMirror
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.out, format, args...) }

func (d *demo) path(name string) string { return filepath.Join(d.dir, filepath.FromSlash(name)) }

func (d *demo) close() {
	if d.web != nil {
		d.web.close()
	}
	if d.lab != nil {
		d.lab.Close()
	}
}

func (d *demo) startInternet() error {
	var err error
	if d.lab, err = lab.Start(d.ctx, lab.Options{}); err != nil {
		return err
	}
	if err := d.lab.AddExample(); err != nil {
		return err
	}
	if err := d.lab.AddHost(lab.Host{Name: "mx.new.example"}); err != nil {
		return err
	}
	if err := d.lab.AddDomain(lab.Domain{Name: "new.example", MX: []string{"mx.new.example"}}); err != nil {
		return err
	}
	d.say("    DNS at %s, mail servers on port %d, a certificate authority that all of them use\n", d.lab.Resolver(), d.lab.SMTPPort())
	return nil
}

func (d *demo) makeList() error {
	var err error
	// Plain keys: decrypting three scrypt files would take longer than the rest of the demo.
	d.trust, err = pipeline.Setup(d.dir, pipeline.SetupOptions{Plain: true, Now: time.Now().Add(-time.Minute)})
	if err != nil {
		return err
	}
	for kept, made := range map[string]string{
		"release.pub": pipeline.ReleasePubFile, "openpgp.pub": pipeline.OpenPGPPubFile, "log.vkey": pipeline.LogVKeyFile,
	} {
		data, err := os.ReadFile(d.path(made))
		if err == nil {
			err = durable.WriteFile(d.path(kept), data, 0o644)
		}
		if err != nil {
			return err
		}
	}
	if err := d.loadKeys(); err != nil {
		return err
	}
	d.say("    list %s, trust version %d, fingerprint %x\n", d.trust.Origin, d.trust.Version, d.trust.Digest())
	return nil
}

func (d *demo) loadKeys() error {
	release, _, err := signing.Load(d.path(pipeline.ReleaseKeyFile), signing.Password{})
	if err != nil {
		return err
	}
	log, _, err := signing.Load(d.path(pipeline.LogKeyFile), signing.Password{})
	if err != nil {
		return err
	}
	d.keys.Release = []signing.Signer{release}
	if d.keys.Log, err = log.NoteSigner(d.trust.Origin); err != nil {
		return err
	}
	d.keys.OpenPGP, _, err = signing.LoadOpenPGP(d.path(pipeline.OpenPGPKeyFile), signing.Password{})
	return err
}

// release is one run of "starttls-list release" with the lab's resolver, port and roots.
func (d *demo) release() (*pipeline.Published, error) {
	roots, err := probe.ParseRoots(d.lab.RootsPEM())
	if err != nil {
		return nil, err
	}
	observer, err := probe.New(probe.Options{
		Resolver: d.lab.Resolver(), Roots: roots, AllowLoopback: true, SMTPPort: d.lab.SMTPPort(), HTTPSPort: d.lab.HTTPSPort(), Timeout: 5 * time.Second,
		Vantage: "demo", Tool: "starttls-list " + version,
	})
	if err != nil {
		return nil, err
	}
	store, err := dir.Open(d.path(pipeline.PublicDir))
	if err != nil {
		return nil, err
	}
	chain, err := mirror.ReadTrust(d.path(pipeline.TrustDir))
	if err != nil {
		return nil, err
	}
	p := &pipeline.Publisher{
		Source: d.path(pipeline.SourceDir), Commit: pipeline.NoCommit, State: d.path(pipeline.StateDir), Trust: chain, Keys: d.keys,
		OpenLog: openTileLog, Mirrors: []pipeline.Target{{Name: pipeline.PublicDir, Store: store}}, Observer: observer,
		Now: time.Now, Log: slog.New(slog.DiscardHandler),
	}
	out, err := p.Release(d.ctx)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	printRelease(&text, out)
	for line := range strings.Lines(text.String()) {
		d.say("    %s", line)
	}
	return out, nil
}

func (d *demo) firstRelease() error {
	if err := os.MkdirAll(d.path(pipeline.PublicDir), 0o755); err != nil {
		return err
	}
	out, err := d.release()
	if err != nil {
		return err
	}
	if len(out.Held) > 0 || out.Leaf().Count != 5 {
		return fmt.Errorf("%w: %d domains released, %d held", errDemo, out.Leaf().Count, len(out.Held))
	}
	d.web, err = serveMirror(d.path(pipeline.PublicDir))
	return err
}

// client is a mail server's client in the folder name; it joins when the folder is new.
func (d *demo) client(name string, method mirror.Method) (*mirror.Client, error) {
	reader, err := mirror.NewHTTP(d.web.url, "starttls-list-demo/"+version)
	if err != nil {
		return nil, err
	}
	folder := d.path(name)
	if _, err := os.Stat(folder); errors.Is(err, os.ErrNotExist) {
		if _, err := mirror.Join(d.ctx, folder, reader, d.trust.Digest()); err != nil {
			return nil, err
		}
	}
	return &mirror.Client{
		Dir: folder, Sources: []mirror.Source{{Name: "mirror", Reader: reader}}, Now: time.Now, Method: method,
		Log: slog.New(slog.DiscardHandler), Sinks: []mirror.Sink{postfixSink(filepath.Join(folder, demoMapFile))},
	}, nil
}

// postfixSink writes the map that Postfix reads.
func postfixSink(path string) mirror.Sink {
	return func(v mirror.View) error {
		var text bytes.Buffer
		_, err := mta.Postfix(&text, v.List.All(), mta.Options{Dialect: mta.SNI, Header: mta.Header{
			Origin: v.Release.Origin, Release: uint64(v.Release.Release), Expires: v.Release.Expires, Digest: v.Release.ListDigest,
		}})
		if err != nil {
			return err
		}
		return durable.WriteFile(path, text.Bytes(), 0o644)
	}
}

func (d *demo) joinClient() error {
	c, err := d.client(demoClientDir, mirror.Auto)
	if err != nil {
		return err
	}
	got, err := c.Update(d.ctx)
	if err != nil {
		return err
	}
	d.say("    release %d by %s from %s: %d domains, %s until %s\n", got.Release.Release, got.Method, d.web.url, got.List.Len(), got.Freshness, got.Release.Expires.Format(policy.TimeFormat))
	d.say("    the map that Postfix gets (testing entries give no line; trial.example is one):\n")
	text, err := os.ReadFile(filepath.Join(c.Dir, demoMapFile))
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") && strings.TrimSpace(line) != "" {
			d.say("      %s", line)
		}
	}
	return nil
}

// demoChanges is the source of the second release.
const demoChanges = `{
  "policies": {
    "good.example": {"mode": "enforce", "mxs": ["mx.good.example"]},
    "new.example": {"mode": "testing", "mxs": ["mx.new.example"]},
    "suffix.example": {"mode": "testing", "mxs": [".mx.suffix.example"]},
    "trial.example": {"mode": "enforce", "mxs": ["mx.trial.example"]}
  }
}
`

func (d *demo) secondRelease() error {
	if err := d.lab.SetBehaviour("mx.trial.example", lab.NoStartTLS); err != nil {
		return err
	}
	if err := os.WriteFile(d.path("list/domains/owners.json"), []byte(demoChanges), 0o644); err != nil {
		return err
	}
	out, err := d.release()
	if err != nil {
		return err
	}
	if len(out.Held) != 1 || out.Held[0].Change.Domain.String() != "trial.example" || len(out.Changes()) != 2 {
		return fmt.Errorf("%w: held %v, changes %v", errDemo, out.Held, out.Changes())
	}
	d.say("    trial.example stays in testing, as it was published last; the rest went out\n")
	return nil
}

func (d *demo) updateBothWays() error {
	var lists [][]byte
	for _, way := range []struct {
		folder, who string
		method      mirror.Method
	}{
		{demoClientDir, "the mail server", mirror.Delta},
		{"tmp/second-client", "a new one", mirror.Snapshot},
	} {
		c, err := d.client(way.folder, way.method)
		if err != nil {
			return err
		}
		before := d.web.served()
		got, err := c.Update(d.ctx)
		if err != nil {
			return err
		}
		after := d.web.served()
		d.say("    %-15s  release %d by %-8s  %d requests, %d bytes, list %x…\n", way.who, got.Release.Release, got.Method,
			after.requests-before.requests, after.bytes-before.bytes, got.Release.ListDigest[:8])
		data, err := os.ReadFile(filepath.Join(c.Dir, mirror.ListPath))
		if err != nil {
			return err
		}
		lists = append(lists, data)
	}
	if !bytes.Equal(lists[0], lists[1]) {
		return fmt.Errorf("%w: the two lists differ", errDemo)
	}
	return nil
}

func (d *demo) audit() error {
	reader, err := mirror.NewHTTP(d.web.url, "starttls-list-demo/"+version)
	if err != nil {
		return err
	}
	auditor := audit.Audit{Mirror: reader, Trust: d.trust}
	report, err := auditor.Run(d.ctx)
	if err != nil {
		return err
	}
	if len(report.Findings) > 0 {
		return fmt.Errorf("%w: the audit found %s at %s", errDemo, report.Findings[0].Code, report.Findings[0].File)
	}
	d.say("    %d log entries, %d releases, %d objects: every tile, proof and list follows from the entries\n", report.Replayed, report.Releases, report.Objects)
	return nil
}
