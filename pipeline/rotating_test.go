package pipeline_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/audit"
	"github.com/starttls-everywhere/policylist/mirror/dir"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

// rotating is an operator who changes keys: the private halves that the newest trust version names.
type rotating struct {
	*operator
	roots    []*signing.Key
	names    []string // of the roots
	rootK    int
	releases []*signing.Key
	releaseK int
	log      *signing.Key
	origin   string
	expires  time.Duration // from the making of a version
	made     int           // keys
	witness  transparency.WitnessPolicy
}

func newRotating(t testing.TB, mirrors ...string) *rotating {
	t.Helper()
	return rotatingOf(newOperator(t, mirrors...))
}

func rotatingOf(o *operator) *rotating {
	t := o.t
	t.Helper()
	r := &rotating{operator: o, rootK: 1, releaseK: 1, origin: o.Trust.Newest().Origin, expires: 365 * 24 * time.Hour}
	load := func(name string) *signing.Key {
		k, _, err := signing.Load(o.path(name), signing.Password{})
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	r.roots, r.releases, r.log = []*signing.Key{load(pipeline.RootKeyFile)}, []*signing.Key{load(pipeline.ReleaseKeyFile)}, load(pipeline.LogKeyFile)
	name, _, _ := strings.Cut(o.Trust.Newest().RootVKeys()[0], "+")
	r.names = []string{name}
	return r
}

// key makes a new private key.
func (r *rotating) key(kind signing.Kind) *signing.Key {
	r.t.Helper()
	private, _, err := signing.GeneratePlain(kind)
	if err != nil {
		r.t.Fatal(err)
	}
	r.made++
	path := r.path(fmt.Sprintf("keys/more-%d.key", r.made))
	if err := os.WriteFile(path, private, 0o600); err != nil {
		r.t.Fatal(err)
	}
	k, _, err := signing.Load(path, signing.Password{})
	if err != nil {
		r.t.Fatal(err)
	}
	return k
}

func (r *rotating) root() {
	r.roots, r.names = append(r.roots, r.key(signing.Ed25519)), append(r.names, fmt.Sprintf("root.%d", r.made))
}

// rotate changes keys by change, and makes, signs and publishes the next trust version as the commands do. The next
// publisher has the new keys.
func (r *rotating) rotate(change func(*rotating)) {
	r.t.Helper()
	signers := map[string]note.Signer{}
	sign := func() {
		for i, k := range r.roots {
			s, err := k.NoteSigner(r.names[i])
			if err != nil {
				r.t.Fatal(err)
			}
			signers[fmt.Sprint(s.Name(), s.KeyHash())] = s
		}
	}
	sign()
	change(r)
	sign()
	c, err := pipeline.StartCeremony(r.path(pipeline.TrustDir), r.draft(), r.now)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, s := range signers { // one after another, as people do
		if c, err = pipeline.OpenCeremony(c.Path()); err == nil {
			err = c.Sign(nil, s)
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
	if _, err := c.Publish(r.now); err != nil {
		r.t.Fatal(err)
	}
	r.reopen()
}

// draft is the next version with the present keys.
func (r *rotating) draft() *transparency.Trust {
	r.t.Helper()
	chain, err := mirror.ReadTrust(r.path(pipeline.TrustDir))
	if err != nil {
		r.t.Fatal(err)
	}
	var roots []string
	for i, k := range r.roots {
		vkey, err := k.VerifierKey(r.names[i])
		if err != nil {
			r.t.Fatal(err)
		}
		roots = append(roots, vkey)
	}
	var releases []transparency.ReleaseKey
	for _, k := range r.releases {
		parsed, err := transparency.ParseReleaseKey(k.SPKI())
		if err != nil {
			r.t.Fatal(err)
		}
		releases = append(releases, parsed)
	}
	log, err := r.log.VerifierKey(r.origin)
	if err != nil {
		r.t.Fatal(err)
	}
	draft, err := transparency.NewTrust(chain.Newest().Version+1, r.now.Add(r.expires), r.rootK, roots, r.releaseK, releases, log, r.witness)
	if err != nil {
		r.t.Fatal(err)
	}
	return draft
}

// reopen is the next process: it reads the trust folder, and has the present keys and mirrors.
func (r *rotating) reopen() {
	r.t.Helper()
	chain, err := mirror.ReadTrust(r.path(pipeline.TrustDir))
	if err != nil {
		r.t.Fatal(err)
	}
	next := *r.Publisher
	next.Trust, next.Keys.Release = chain, nil
	for _, k := range r.releases {
		next.Keys.Release = append(next.Keys.Release, k)
	}
	if next.Keys.Log, err = r.log.NoteSigner(r.origin); err != nil {
		r.t.Fatal(err)
	}
	settings := r.path("list/" + policy.SettingsName)
	data, err := os.ReadFile(settings)
	if err != nil {
		r.t.Fatal(err)
	}
	r.write("list/"+policy.SettingsName, strings.ReplaceAll(string(data), r.Publisher.Trust.Newest().Origin, r.origin))
	r.Publisher = &next
}

// target is a mirror in a folder of the operator's.
func (r *rotating) target(name string) pipeline.Target {
	r.t.Helper()
	store, err := dir.Open(r.path(name))
	if err != nil {
		r.t.Fatal(err)
	}
	return pipeline.Target{Name: name, Store: store}
}

// audited replays a mirror, and wants nothing found.
func (r *rotating) audited(name string) {
	r.t.Helper()
	a := audit.Audit{Mirror: r.target(name).Store, Trust: r.Trust.Versions()[0]}
	report, err := a.Run(r.t.Context())
	if err != nil || len(report.Findings) > 0 {
		r.t.Errorf("audit of %s: %v, %+v", name, err, report.Findings)
	}
}

func updated(t *testing.T, c *mirror.Client) mirror.Outcome {
	t.Helper()
	out, err := c.Update(t.Context())
	if err != nil {
		t.Fatal(err, out.Problems)
	}
	return out
}
