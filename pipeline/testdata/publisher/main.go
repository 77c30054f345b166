// Publisher releases a list once, from an operator's folder as pipeline.Setup makes it, and dies where it is told to.
//
//	publisher -home DIR -now TIME [-down NAME] [-point OP [-mode before|after|lied]] [-vault URL] [-agent NAME] [-gate] [-site] MIRROR…
//
// Mirrors are folders in DIR. The state is there, too, or in the bucket of -vault; then nothing of it is on the disk, and
// its lease ends at once, so that the next process need not wait. Witnesses are asked under the name of -agent. With -gate
// the gate decides, by the vantages' files in DIR/evidence; without it everything passes. With -site releases bring pages along. Everything that it does to them,
// to the log and with the keys is an operation with a name (see moments); it writes "at OP" to standard output before and
// after each, and waits for a line from standard input, in which time the test looks at the world as it is. With -mode before
// or after it then kills itself, like a power cut, before or after the operation; with lied it does the operation and reports
// that it failed. It ends with a line "held DOMAIN CODE…" for each change that the source asks for and the gate
// holds.
//
// With -deaf it neither writes nor waits, for a tracer that fails its system calls; with -bot NAME it lets a bot edit the
// source by what the gate remembers, and releases nothing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
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

// settings are the flags.
type settings struct {
	home, now, down, vault, agent, bot string

	gate    bool
	site    bool
	mirrors []string
}

func (s settings) path(name string) string { return filepath.Join(s.home, filepath.FromSlash(name)) }

func main() {
	var s settings
	flag.StringVar(&s.home, "home", "", "the operator's folder")
	flag.StringVar(&s.now, "now", "", "the time, RFC 3339")
	flag.StringVar(&s.down, "down", "", "a mirror that cannot be reached")
	flag.StringVar(&s.vault, "vault", "", "s3 address of the state")
	flag.StringVar(&s.agent, "agent", "", "User-Agent for witnesses")
	flag.StringVar(&s.bot, "bot", "", "run a bot")
	flag.BoolVar(&s.gate, "gate", false, "let the gate decide")
	flag.BoolVar(&s.site, "site", false, "bring pages along")
	m := newMoments()
	flag.BoolVar(&m.deaf, "deaf", false, "neither tell of operations nor wait")
	flag.StringVar(&m.point, "point", "", "the operation to fail at")
	flag.StringVar(&m.mode, "mode", "before", "before, after or lied")
	flag.Parse()
	s.mirrors = flag.Args()
	p, err := newPublisher(m, s)
	switch {
	case err == nil && s.bot != "":
		err = edit(p, s.bot)
	case err == nil:
		err = release(p, m, s.down)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "publisher:", err)
		os.Exit(1)
	}
}

func newPublisher(m *moments, s settings) (*pipeline.Publisher, error) {
	at, err := policy.ParseTime(s.now)
	if err != nil {
		return nil, err
	}
	chain, err := mirror.ReadTrust(s.path(pipeline.TrustDir))
	if err != nil {
		return nil, err
	}
	keys, err := loadKeys(m, s.path, chain.Newest().Origin)
	if err != nil {
		return nil, err
	}
	p := &pipeline.Publisher{
		Source: s.path(pipeline.SourceDir), Commit: pipeline.NoCommit, State: s.path(pipeline.StateDir), Trust: chain, Keys: keys,
		OpenLog: func(dir string) (pipeline.Log, error) {
			l, err := tilelog.Open(dir)
			return logAt{l, m}, err
		},
		Observer: allPass{}, Now: func() time.Time { return at }, Log: slog.New(m.watch(slog.NewTextHandler(os.Stderr, nil))),
	}
	if s.gate {
		p.Gate, p.Observer, p.Evidence = &pipeline.Gate{}, nil, evidenceAt(m, s.path("evidence"))
	}
	if s.site {
		p.Site = &pipeline.Site{}
	}
	if s.agent != "" {
		p.Witnesses = witness.New(s.agent)
	}
	if s.vault != "" {
		o, err := s3.Parse(s.vault)
		if err != nil {
			return nil, err
		}
		store, err := s3.Open(context.Background(), o)
		if err != nil {
			return nil, err
		}
		p.State, p.Vault = "", &pipeline.Vault{Store: vaultAt{store, m}, Term: time.Nanosecond}
	}
	for _, name := range s.mirrors {
		store, err := dir.Open(s.path(name))
		if err != nil {
			return nil, err
		}
		t := pipeline.Target{Name: name, Store: storeAt{store, m, name}}
		if name == s.down {
			t.Store = deadStore{store}
		}
		p.Mirrors = append(p.Mirrors, t)
	}
	return p, nil
}

func release(p *pipeline.Publisher, m *moments, down string) error {
	out, err := p.Release(context.Background())
	if err != nil {
		return err
	}
	if policy.HasErrors(out.Findings) || len(out.Held) > 0 && p.Gate == nil {
		return fmt.Errorf("release %d keeps back %v, for %v", out.Leaf().Release, out.Held, out.Findings)
	}
	for _, r := range out.Mirrors {
		if r.Err != nil && r.Name != down {
			fmt.Fprintf(os.Stderr, "mirror %s: %v\n", r.Name, r.Err)
		}
	}
	for _, h := range out.Held {
		if !h.Automatic {
			m.tell("held", h.Change.Domain.String()+" "+strings.Join(h.Codes, " "))
		}
	}
	return nil
}

// edit lets a bot write what it would do.
func edit(p *pipeline.Publisher, name string) error {
	known, err := p.Known(context.Background())
	if err != nil {
		return err
	}
	run, err := pipeline.Bots()[name].Plan(context.Background(), p.Source, known)
	if err == nil {
		err = run.Write()
	}
	return err
}

// evidenceAt gives the vantages' files; to look for them is an operation.
func evidenceAt(m *moments, folder string) pipeline.EvidenceSource {
	return func(context.Context) (files []probe.EvidenceFile, err error) {
		err = m.around("evidence.get", func() error {
			names, err := filepath.Glob(filepath.Join(folder, "*.jsonl"))
			for _, name := range names {
				files = append(files, probe.EvidenceFile{Name: filepath.Base(name), Open: func() (io.ReadCloser, error) { return os.Open(name) }})
			}
			return err
		})
		return files, err
	}
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
