package transparency_test

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"
	"golang.org/x/mod/sumdb/note"

	"github.com/starttls-everywhere/policylist/transparency"
)

// The rules of a trust chain are those of TUF's root role, so go-tuf judges them: a generated script offers one version
// after another to a TrustChain and to go-tuf's root update, and after each offer both must have said the same.
//
// A root key is the same thing in both worlds: an Ed25519 key under a name, in ours a vkey, in TUF a key with an ID of
// its own for each vkey. A signature line is a TUF signature under that ID. TUF refuses a file with two signatures of one ID, which
// a note may have, so the second line of a pair goes to TUF under a second ID of the same key; TUF counts public keys,
// not IDs, as we do.
//
// One rule of ours is stricter, and is not compared but asserted: a text that names a public key twice is refused.

// rootKey is a key of the pool under one of its names.
type rootKey struct {
	vkey    string
	private ed25519.PrivateKey
}

// mark is how a signature is wrong, or not.
type mark int

const (
	right mark = iota
	overOther
	flipped
	byOther
	marks
)

// line is one signature on an offer, in the order of the file.
type line struct {
	key  int // of the pool
	mark mark
}

// offer is one version of a script.
type offer struct {
	version int64
	expires time.Time
	k       int
	roots   []int // of the pool
	lines   []line
}

// rotation generates scripts and makes both forms of each version.
type rotation struct {
	t       *testing.T
	r       *rand.Rand
	pool    []rootKey // two names for each key: pool[2i] and pool[2i+1]
	release transparency.ReleaseKey
	log     noteKey
}

func newRotation(t *testing.T, r *rand.Rand) *rotation {
	t.Helper()
	g := &rotation{t: t, r: r, log: newNoteKey(t, origin)}
	g.release, _ = releaseKey(t)
	for i := range 8 {
		seed := sha256.Sum256(fmt.Appendf(nil, "root key %d", i))
		private := ed25519.NewKeyFromSeed(seed[:])
		for _, name := range []string{"root.%d", "alias.%d"} {
			vkey, err := note.NewEd25519VerifierKey(fmt.Sprintf(name, i), private.Public().(ed25519.PublicKey))
			if err != nil {
				t.Fatal(err)
			}
			g.pool = append(g.pool, rootKey{vkey, private})
		}
	}
	return g
}

// keys draws n different public keys, each under either name.
func (g *rotation) keys(n int) []int {
	var out []int
	for _, i := range g.r.Perm(len(g.pool) / 2)[:n] {
		out = append(out, 2*i+g.r.IntN(2)*g.r.IntN(2))
	}
	return out
}

// first is a version that counts.
func (g *rotation) first() offer {
	o := offer{version: 1 + g.r.Int64N(3), expires: g.expiry(), roots: g.keys(1 + g.r.IntN(4))}
	o.k = 1 + g.r.IntN(len(o.roots))
	for _, k := range o.roots {
		o.lines = append(o.lines, line{key: k})
	}
	return o
}

// expiry is as often past as not: only the last version's counts, and not for the chain.
func (g *rotation) expiry() time.Time {
	return time.Date(2020+g.r.IntN(20), 1, 1, 0, 0, 0, 0, time.UTC)
}

// next draws a version to follow before: mostly one that nearly counts.
func (g *rotation) next(before offer) offer {
	o := offer{version: before.version + 1, expires: g.expiry(), k: before.k, roots: slices.Clone(before.roots)}
	if g.r.IntN(12) == 0 {
		o.version += g.r.Int64N(4) - 2
	}
	switch g.r.IntN(4) {
	case 0: // everything new
		o.roots = g.keys(1 + g.r.IntN(5))
		o.k = 1 + g.r.IntN(len(o.roots))
	case 1: // one key replaced
		o.roots[g.r.IntN(len(o.roots))] = g.keys(1)[0]
	case 2: // one more
		o.roots = append(o.roots, g.keys(1)[0])
		o.k = 1 + g.r.IntN(len(o.roots))
	}
	if g.r.IntN(15) == 0 {
		o.k = g.r.IntN(len(o.roots) + 2) // none, or one too many
	}
	// Who signs: most of those who should, some who should not, some wrongly, some twice.
	for _, k := range append(slices.Clone(before.roots), o.roots...) {
		if o.count(k) > 0 || g.r.IntN(9) == 0 {
			continue
		}
		g.add(&o, k)
		if g.r.IntN(8) == 0 {
			g.add(&o, k)
		}
		if g.r.IntN(8) == 0 {
			g.add(&o, k^1) // under its other name
		}
	}
	if len(o.lines) == 0 || g.r.IntN(10) == 0 {
		g.add(&o, g.r.IntN(len(g.pool)))
	}
	g.r.Shuffle(len(o.lines), func(i, j int) { o.lines[i], o.lines[j] = o.lines[j], o.lines[i] })
	return o
}

// count is how many lines a key has under one name.
func (o offer) count(key int) int {
	n := 0
	for _, l := range o.lines {
		if l.key == key {
			n++
		}
	}
	return n
}

func (g *rotation) add(o *offer, key int) {
	if o.count(key) < most {
		o.lines = append(o.lines, g.line(key))
	}
}

func (g *rotation) line(key int) line {
	l := line{key: key}
	if g.r.IntN(7) == 0 {
		l.mark = mark(g.r.IntN(int(marks)))
	}
	return l
}

// sign makes the line's signature over message.
func (g *rotation) sign(l line, message []byte) []byte {
	private := g.pool[l.key].private
	switch l.mark {
	case overOther:
		return ed25519.Sign(private, append(slices.Clone(message), "more\n"...))
	case byOther:
		return ed25519.Sign(g.pool[(l.key+2)%len(g.pool)].private, message)
	}
	sig := ed25519.Sign(private, message)
	if l.mark == flipped {
		sig[40] ^= 4
	}
	return sig
}

// note is the offer as a trust version's file. The text is written by hand where NewTrust would refuse it.
func (g *rotation) note(o offer) []byte {
	text := fmt.Sprintf("policylist/trust/v1\nversion %d\nexpires %s\norigin %s\nroot %d\n", o.version, o.expires.Format("2006-01-02T15:04:05Z"), origin, o.k)
	for _, k := range o.roots {
		text += g.pool[k].vkey + "\n"
	}
	text += fmt.Sprintf("release 1\n%s\nlog %s\nquorum none\n", g.release, g.log.vkey)
	msg := []byte(text + "\n")
	for _, l := range o.lines {
		v, err := note.NewVerifier(g.pool[l.key].vkey)
		if err != nil {
			g.t.Fatal(err)
		}
		hash := []byte{byte(v.KeyHash() >> 24), byte(v.KeyHash() >> 16), byte(v.KeyHash() >> 8), byte(v.KeyHash())}
		msg = fmt.Appendf(msg, "— %s %s\n", v.Name(), base64.StdEncoding.EncodeToString(append(hash, g.sign(l, []byte(text))...)))
	}
	return msg
}

// root is the offer as TUF root metadata.
func (g *rotation) root(o offer) []byte {
	root := metadata.Root(o.expires)
	root.Signed.Version = o.version
	role := &metadata.Role{Threshold: o.k}
	add := func(key int, id string) {
		k, err := metadata.KeyFromPublicKey(g.pool[key].private.Public().(ed25519.PublicKey))
		if err != nil {
			g.t.Fatal(err)
		}
		root.Signed.Keys[id] = k
		role.KeyIDs = append(role.KeyIDs, id)
	}
	for _, k := range o.roots {
		for n := range most { // the version after this one may be signed twice as well
			add(k, g.id(k, n))
		}
	}
	root.Signed.Roles = map[string]*metadata.Role{metadata.ROOT: role}
	used := map[int]int{}
	for _, l := range o.lines {
		capture := &capturer{sign: func(m []byte) []byte { return g.sign(l, m) }, public: g.pool[l.key].private.Public()}
		if _, err := root.Sign(capture); err != nil {
			g.t.Fatal(err)
		}
		root.Signatures[len(root.Signatures)-1].KeyID = g.id(l.key, used[l.key])
		used[l.key]++
	}
	data, err := json.Marshal(root)
	if err != nil {
		g.t.Fatal(err)
	}
	return data
}

// most is how many lines one name of a key can have in an offer.
const most = 2

func (g *rotation) id(key, n int) string {
	return fmt.Sprintf("%d/%d", key, n)
}

// capturer lets go-tuf ask for a signature that may be wrong.
type capturer struct {
	signature.Signer
	sign   func([]byte) []byte
	public crypto.PublicKey
}

func (c *capturer) SignMessage(message io.Reader, _ ...signature.SignOption) ([]byte, error) {
	data, err := io.ReadAll(message)
	return c.sign(data), err
}

func (c *capturer) PublicKey(...signature.PublicKeyOption) (crypto.PublicKey, error) {
	return c.public, nil
}

// twice reports whether the text names one public key twice.
func (g *rotation) twice(o offer) bool {
	seen := map[int]bool{}
	for _, k := range o.roots {
		if seen[k/2] {
			return true
		}
		seen[k/2] = true
	}
	return false
}

// describe tells a difference.
func (g *rotation) describe(before, o offer) string {
	var b strings.Builder
	fmt.Fprintf(&b, "version %d, %d of %v, after version %d, %d of %v; lines", o.version, o.k, o.roots, before.version, before.k, before.roots)
	for _, l := range o.lines {
		fmt.Fprintf(&b, " %d:%d", l.key, l.mark)
	}
	return b.String()
}

// tally counts what scripts did.
type tally struct{ offers, accepted, refused, doubled, differences int }

// play runs one script of the given length on both sides.
func (g *rotation) play(length int, sum *tally) {
	g.t.Helper()
	last := g.first()
	first, err := transparency.ParseTrust(g.note(last))
	if err != nil {
		g.t.Fatal(err)
	}
	ours, err := transparency.NewTrustChain(first)
	if err != nil {
		g.t.Fatal(err)
	}
	theirs, err := trustedmetadata.New(g.root(last))
	if err != nil {
		g.t.Fatal(err)
	}
	for range length {
		o := g.next(last)
		next, errOurs := transparency.ParseTrust(g.note(o))
		if g.twice(o) {
			if sum.doubled++; errOurs == nil {
				g.t.Errorf("a text that names a key twice was accepted: %s", g.describe(last, o))
			}
			continue
		}
		if errOurs == nil {
			errOurs = ours.Extend(next)
		}
		_, errTheirs := theirs.UpdateRoot(g.root(o))
		sum.offers++
		if (errOurs == nil) != (errTheirs == nil) || ours.Newest().Version != theirs.Root.Signed.Version {
			sum.differences++
			g.t.Errorf("%s\n  ours: %v\n  TUF:  %v", g.describe(last, o), errOurs, errTheirs)
			return
		}
		if errOurs != nil {
			sum.refused++
			continue
		}
		sum.accepted++
		last = o
	}
}

func TestFiguresRotationAgainstTUF(t *testing.T) {
	scripts := 1100
	if os.Getenv("POLICYLIST_FULL") != "" {
		scripts = 20_000
	}
	g := newRotation(t, rand.New(rand.NewPCG(20261125, 1)))
	var sum tally
	for range scripts {
		g.play(1+g.r.IntN(3), &sum)
	}
	t.Logf("figures: rotation scripts %d, differences from go-tuf %d (aim 0)", scripts, sum.differences)
	t.Logf("%d versions offered: %d accepted, %d refused by both; %d more that name a key twice, refused by ours alone",
		sum.offers, sum.accepted, sum.refused, sum.doubled)
	if sum.accepted < scripts || sum.refused < scripts/3 {
		t.Errorf("the scripts are one-sided: %+v", sum)
	}
}
