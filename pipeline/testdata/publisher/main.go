// Publisher releases a list once, from an operator's folder as pipeline.Setup makes it, and dies where it is told to.
//
//	publisher -home DIR -now TIME [-down NAME] [-point OP [-mode before|after|lied]] [-vault URL] [-agent NAME] MIRROR…
//
// Mirrors are folders in DIR. The state is there, too, or in the bucket of -vault; then nothing of it is on the disk, and
// its lease ends at once, so that the next process need not wait. Witnesses are asked under the name of -agent. Everything that it does to them, to the log and with the keys is an operation with a name
// (see moments); it writes "at OP" to standard output before and after each, and waits for a line from standard input, in
// which time the test looks at the world as it is. With -mode before or after it then kills itself, like a power cut,
// before or after the operation; with lied it does the operation and reports that it failed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/dir"
	"github.com/starttls-everywhere/policylist/mirror/s3"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency/tilelog"
	"github.com/starttls-everywhere/policylist/transparency/witness"
)

func main() {
	home := flag.String("home", "", "the operator's folder")
	now := flag.String("now", "", "the time, RFC 3339")
	down := flag.String("down", "", "a mirror that cannot be reached")
	vault := flag.String("vault", "", "s3 address of the state")
	agent := flag.String("agent", "", "User-Agent for witnesses")
	m := newMoments()
	flag.StringVar(&m.point, "point", "", "the operation to fail at")
	flag.StringVar(&m.mode, "mode", "before", "before, after or lied")
	flag.Parse()
	if err := release(m, *home, *now, *down, *vault, *agent, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "publisher:", err)
		os.Exit(1)
	}
}

func release(m *moments, home, now, down, vault, agent string, mirrors []string) error {
	at, err := policy.ParseTime(now)
	if err != nil {
		return err
	}
	path := func(name string) string { return filepath.Join(home, filepath.FromSlash(name)) }
	chain, err := mirror.ReadTrust(path(pipeline.TrustDir))
	if err != nil {
		return err
	}
	keys, err := loadKeys(m, path, chain.Newest().Origin)
	if err != nil {
		return err
	}
	p := &pipeline.Publisher{
		Source: path(pipeline.SourceDir), Commit: pipeline.NoCommit, State: path(pipeline.StateDir), Trust: chain, Keys: keys,
		OpenLog: func(dir string) (pipeline.Log, error) {
			l, err := tilelog.Open(dir)
			return logAt{l, m}, err
		},
		Observer: allPass{}, Now: func() time.Time { return at }, Log: slog.New(m.watch(slog.NewTextHandler(os.Stderr, nil))),
	}
	if agent != "" {
		p.Witnesses = witness.New(agent)
	}
	if vault != "" {
		o, err := s3.Parse(vault)
		if err != nil {
			return err
		}
		store, err := s3.Open(context.Background(), o)
		if err != nil {
			return err
		}
		p.State, p.Vault = "", &pipeline.Vault{Store: vaultAt{store, m}, Term: time.Nanosecond}
	}
	for _, name := range mirrors {
		store, err := dir.Open(path(name))
		if err != nil {
			return err
		}
		t := pipeline.Target{Name: name, Store: storeAt{store, m, name}}
		if name == down {
			t.Store = deadStore{store}
		}
		p.Mirrors = append(p.Mirrors, t)
	}
	out, err := p.Release(context.Background())
	if err != nil {
		return err
	}
	if policy.HasErrors(out.Findings) || len(out.Held) > 0 {
		return fmt.Errorf("release %d keeps back %v, for %v", out.Leaf().Release, out.Held, out.Findings)
	}
	for _, r := range out.Mirrors {
		if r.Err != nil && r.Name != down {
			fmt.Fprintf(os.Stderr, "mirror %s: %v\n", r.Name, r.Err)
		}
	}
	return nil
}

func loadKeys(m *moments, path func(string) string, origin string) (k pipeline.Keys, err error) {
	release, _, err := signing.Load(path(pipeline.ReleaseKeyFile), signing.Password{})
	if err != nil {
		return k, err
	}
	log, _, err := signing.Load(path(pipeline.LogKeyFile), signing.Password{})
	if err != nil {
		return k, err
	}
	signer, err := log.NoteSigner(origin)
	if err != nil {
		return k, err
	}
	k.OpenPGP, _, err = signing.LoadOpenPGP(path(pipeline.OpenPGPKeyFile), signing.Password{})
	k.Release, k.Log = []signing.Signer{releaseKeyAt{release, m}}, logKeyAt{signer, m}
	return k, err
}

// allPass observes that every domain works, so that releases have evidence.
type allPass struct{}

func (allPass) Probe(_ context.Context, targets []probe.Target) ([]probe.Result, error) {
	var out []probe.Result
	for _, t := range targets {
		line := fmt.Appendf(nil, `{"codes":[],"domain":"%s","verdict":"pass"}`, t.Domain)
		out = append(out, probe.Result{Domain: t.Domain, Judgement: probe.Judgement{Verdict: probe.Pass}, Line: line})
	}
	return out, nil
}

func (allPass) Header(context.Context, string) (probe.Header, error) {
	return probe.Header{Vantage: "test"}, nil
}

// class is the sort of object that a path names: its folder, or its own name at the top.
func class(path string) string {
	switch {
	case strings.HasPrefix(path, "tile/entries/") && strings.Contains(path, ".p/"):
		return "entries.p"
	case strings.HasPrefix(path, "tile/entries/"):
		return "entries"
	case strings.HasPrefix(path, "tile/") && strings.Contains(path, ".p/"):
		return "tile.p"
	case slices.Contains([]string{".zst", ".asc"}, filepath.Ext(path)) && strings.Contains(path, "/"):
		return filepath.Dir(path) + filepath.Ext(path)
	}
	top, _, _ := strings.Cut(path, "/")
	return top
}

var errLied = errors.New("the answer was lost")
