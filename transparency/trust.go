package transparency

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// MaxTrustBytes caps a trust version before anything in it is looked at.
const MaxTrustBytes = 256 << 10

// maxKeys is the most root keys, and the most release keys, of one trust version.
const maxKeys = 64

const (
	trustHeader = "policylist/trust/v1"
	timeFormat  = "2006-01-02T15:04:05Z"
)

// ErrTrust is what every malformed or insufficiently signed trust version wraps.
var ErrTrust = errors.New("trust version refused")

// Trust is one version of "whose signatures count": a signed note whose text has one item a line, in this order:
//
//	policylist/trust/v1
//	version 2
//	expires 2027-11-25T00:00:00Z
//	origin policylist.example/list
//	root 2                      threshold, then the root vkeys, one a line
//	release 1                   threshold, then base64 SubjectPublicKeyInfo, one a line
//	log <vkey>                  named like the origin
//	witness…, group…, quorum    C2SP tlog-policy
//
// The rules are those of TUF's root: see VerifyNext.
type Trust struct {
	Version   int64
	Expires   time.Time // UTC, whole seconds
	Origin    string
	RootK     int // how many root keys must sign a version
	ReleaseK  int // how many release keys must sign a release
	Witnesses WitnessPolicy

	roots    []noteKey
	releases []ReleaseKey
	log      noteKey
	note     []byte // as read
}

// NewTrust puts a version together. roots and log are Ed25519 vkeys (type 1); the log's name becomes the origin; expires is cut
// to seconds. The result has no signatures yet. Errors wrap ErrTrust.
func NewTrust(version int64, expires time.Time, rootK int, roots []string, releaseK int, releases []ReleaseKey, log string, w WitnessPolicy) (*Trust, error) {
	t := &Trust{Version: version, Expires: expires.UTC().Truncate(time.Second), RootK: rootK, ReleaseK: releaseK, releases: releases, Witnesses: w}
	for _, r := range roots {
		k, err := parseVKey(r, algEd25519)
		if err != nil {
			return nil, fmt.Errorf("%w: root: %w", ErrTrust, err)
		}
		t.roots = append(t.roots, k)
	}
	var err error
	if t.log, err = parseVKey(log, algEd25519); err != nil {
		return nil, fmt.Errorf("%w: log: %w", ErrTrust, err)
	}
	t.Origin = t.log.name
	return t, t.check()
}

// Text is the signed text in its one form.
func (t *Trust) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nversion %d\nexpires %s\norigin %s\nroot %d\n", trustHeader, t.Version, t.Expires.Format(timeFormat), t.Origin, t.RootK)
	for _, k := range t.roots {
		b.WriteString(k.String() + "\n")
	}
	fmt.Fprintf(&b, "release %d\n", t.ReleaseK)
	for _, k := range t.releases {
		b.WriteString(k.String() + "\n")
	}
	fmt.Fprintf(&b, "log %s\n", t.log)
	return b.String() + t.Witnesses.String()
}

// Digest is the SHA-256 of the text: the trust leaf's value, and for a first version the fingerprint that people
// compare.
func (t *Trust) Digest() [32]byte { return sha256.Sum256([]byte(t.Text())) }

// Note returns the signed note as it was read, nil for a version that was never signed.
func (t *Trust) Note() []byte { return bytes.Clone(t.note) }

// LogVKey returns the log's verifier key.
func (t *Trust) LogVKey() string { return t.log.String() }

// RootVKeys returns the root keys in the text's order.
func (t *Trust) RootVKeys() []string {
	out := make([]string, len(t.roots))
	for i, k := range t.roots {
		out[i] = k.String()
	}
	return out
}

// ReleaseKeys returns the release keys in the text's order.
func (t *Trust) ReleaseKeys() []ReleaseKey { return slices.Clone(t.releases) }

// Sign adds signatures of root keys to t and returns the signed note, which Note returns from then on. Good signatures that t
// has already stay. Whether they suffice, VerifySelf and VerifyNext say.
func (t *Trust) Sign(roots ...note.Signer) ([]byte, error) {
	n := &note.Note{Text: t.Text()}
	if t.note != nil {
		_, _, n.Sigs = signedBy(t.note, t.roots)
	}
	msg, err := note.Sign(n, roots...)
	if err == nil {
		t.note = msg
	}
	return msg, err
}

// check holds what makes a version usable whoever signed it.
func (t *Trust) check() error {
	switch {
	case t.Version < 1:
		return fmt.Errorf("%w: version %d", ErrTrust, t.Version)
	case t.Origin != t.log.name:
		return fmt.Errorf("%w: the log key is named %q, the origin is %q", ErrTrust, t.log.name, t.Origin)
	case len(t.roots) > maxKeys || t.RootK < 1 || t.RootK > len(t.roots):
		return fmt.Errorf("%w: root threshold %d of %d keys (at most %d)", ErrTrust, t.RootK, len(t.roots), maxKeys)
	case len(t.releases) > maxKeys || t.ReleaseK < 1 || t.ReleaseK > len(t.releases):
		return fmt.Errorf("%w: release threshold %d of %d keys (at most %d)", ErrTrust, t.ReleaseK, len(t.releases), maxKeys)
	}
	// One key in two places would let its holder count twice, or sign in one role what counts in another.
	seen := map[string]bool{}
	once := func(pub []byte) error {
		if seen[string(pub)] {
			return fmt.Errorf("%w: a public key stands twice", ErrTrust)
		}
		seen[string(pub)] = true
		return nil
	}
	var errs []error
	for _, k := range t.roots {
		errs = append(errs, once(k.pub))
	}
	for _, w := range t.Witnesses.witnesses {
		errs = append(errs, once(w.key.pub))
	}
	for _, k := range t.releases {
		errs = append(errs, once(k.rawKey()))
	}
	return errors.Join(append(errs, once(t.log.pub))...)
}

// VerifySelf checks that the version's own root keys signed it to their threshold. Errors wrap ErrTrust.
func (t *Trust) VerifySelf() error { return t.signedByRootsOf(t) }

// VerifyNext checks that next may follow t: the version is one higher, and the root thresholds of both t and next
// signed it (TUF specification, section 5.3). Expiry is not looked at: only the last version's counts. Errors wrap ErrTrust.
func (t *Trust) VerifyNext(next *Trust) error {
	if next.Version != t.Version+1 {
		return fmt.Errorf("%w: version %d cannot follow version %d", ErrTrust, next.Version, t.Version)
	}
	if err := next.signedByRootsOf(t); err != nil {
		return err
	}
	return next.signedByRootsOf(next)
}

func (t *Trust) signedByRootsOf(by *Trust) error {
	text, signers, _ := signedBy(t.note, by.roots)
	if len(signers) < by.RootK || text != t.Text() {
		return fmt.Errorf("%w: version %d has %d good signatures of the root keys of version %d, it takes %d",
			ErrTrust, t.Version, len(signers), by.Version, by.RootK)
	}
	return nil
}

// VerifyRelease checks that the threshold of distinct release keys signed message. A key counts once, whatever sigs holds
// besides.
func (t *Trust) VerifyRelease(message []byte, sigs []KeySignature) error {
	good := map[[32]byte]bool{}
	for _, k := range t.releases {
		for _, s := range sigs {
			if s.Key == k.ID() && k.Verify(message, s.Signature) {
				good[s.Key] = true
			}
		}
	}
	if len(good) < t.ReleaseK {
		return fmt.Errorf("%d good signatures of the release keys of trust version %d, it takes %d", len(good), t.Version, t.ReleaseK)
	}
	return nil
}
