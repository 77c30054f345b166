package site

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/policy"
)

// Every domain's proof holds, by the trust of a stranger, and the release that it names claims the change.
func TestProofs(t *testing.T) {
	o := whole(t)
	m := o.read(Extra{})
	sink := fresh(t, m)
	chain := o.chain()
	must(t, chain.Extend(o.trust[1]))
	for _, d := range m.Domains {
		data, err := m.Proof(d.Name)
		if err != nil || !bytes.Equal(data, sink.objects[ProofPath(d.Name.String())]) {
			t.Errorf("%s: another proof, %v", d.Name, err)
		}
		p, err := OpenProof(data, chain)
		must(t, err)
		last := d.Last()
		if p.Change.Domain != d.Name || p.Index != last.Index || p.Change.Release != last.Release {
			t.Errorf("%s: %+v", d.Name, p)
		}
		for _, r := range m.Releases {
			rel, err := mirror.OpenProof(o.mirror.objects[mirror.ReleasePath(r.Release)], chain)
			must(t, err)
			if err := p.Claims(&rel.Release); (err == nil) != (r.Release == last.Release) {
				t.Errorf("%s by release %d: %v", d.Name, r.Release, err)
			}
		}
	}
}

func TestProofOfAStranger(t *testing.T) {
	if _, err := story(t).read(Extra{}).Proof(set("b.example", policy.Testing).Domain); !errors.Is(err, ErrNeverListed) {
		t.Errorf("got %v", err)
	}
}

// A proof of a change stays as it is: it is made in the tree of the release that made the change.
func TestProofStays(t *testing.T) {
	o := whole(t)
	before := fresh(t, o.read(Extra{})).objects[ProofPath("a.example")]
	o.publish(set("new.example", policy.Testing))
	if after := fresh(t, o.read(Extra{})).objects[ProofPath("a.example")]; !bytes.Equal(before, after) {
		t.Error("it changed")
	}
	// Where that release has no proof that fits, the newest tree serves.
	for _, data := range [][]byte{nil, []byte("rubbish"), o.mirror.objects[mirror.ReleasePath(1)]} {
		o.mirror.objects[mirror.ReleasePath(2)] = data
		if data == nil {
			delete(o.mirror.objects, mirror.ReleasePath(2))
		}
		m := o.read(Extra{})
		p, err := OpenProof(fresh(t, m).objects[ProofPath("a.example")], o.chain())
		if err != nil || p.Checkpoint.Tree != m.Checkpoint.Tree {
			t.Errorf("%+v, %v", p, err)
		}
	}
}

// Whatever is changed in a proof's leaf, index, path or checkpoint, it does not hold. Only what stands around them may be
// different: signatures that nobody needs.
func TestProofThatDoesNotHold(t *testing.T) {
	o := whole(t)
	good := fresh(t, o.read(Extra{})).objects[ProofPath("a.example")]
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if p, err := OpenProof(bad, o.chain()); err == nil {
			t.Errorf("byte %d: %+v", i, p)
		} else if !errors.Is(err, ErrProof) {
			t.Errorf("byte %d: %v", i, err)
		}
	}
	stranger := newOperator(t)
	stranger.log = newSigner("other.example/list")
	stranger.trust = nil
	stranger.rotate()
	for name, data := range map[string][]byte{"a release's": o.mirror.objects[mirror.ReleasePath(2)], "none": nil} {
		if _, err := OpenProof(data, o.chain()); !errors.Is(err, ErrProof) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := OpenProof(good, stranger.chain()); !errors.Is(err, ErrProof) {
		t.Errorf("by another list's trust: %v", err)
	}
}

func FuzzProof(f *testing.F) {
	o := story(f)
	m := o.read(Extra{})
	good, err := m.Proof(m.Domains[0].Name)
	must(f, err)
	f.Add(good)
	f.Add(o.mirror.objects[mirror.PointerPath])
	chain := o.chain()
	f.Fuzz(func(t *testing.T, data []byte) {
		if p, err := OpenProof(data, chain); err == nil && (p.Index != m.Domains[0].Last().Index || p.Change.Domain != m.Domains[0].Name) {
			t.Errorf("%+v", p) // nobody else signed anything
		}
	})
}

// The longest of names has its page and its proof: one domain must not keep a list from having a site.
func TestLongestName(t *testing.T) {
	name := strings.Repeat(strings.Repeat("l", 63)+".", 3) + strings.Repeat("o", 53) + ".example"
	o := newOperator(t)
	o.publish(set(name, policy.Testing, "mx.example"))
	m := o.read(Extra{})
	sink := fresh(t, m)
	checkPage(t, sink, "site/domain/"+name+"/index.html")
	p, err := OpenProof(sink.objects[ProofPath(name)], o.chain())
	if len(name) != 253 || err != nil || p.Change.Domain.String() != name {
		t.Errorf("%+v, %v", p, err)
	}
}
