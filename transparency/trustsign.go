package transparency

import (
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/note"
)

// Draft returns the version as a file that nobody has signed yet: its text and the empty line before the signatures.
func (t *Trust) Draft() []byte {
	if t.note != nil {
		return t.Note()
	}
	return []byte(t.Text() + "\n")
}

// SignedBy returns the vkeys of those root keys of by whose signature on t is good, in by's order. by is t itself or
// the version before it.
func (t *Trust) SignedBy(by *Trust) []string {
	text, signers, _ := signedBy(t.note, by.roots)
	if text != t.Text() {
		return nil
	}
	out := make([]string, len(signers))
	for i, k := range signers {
		out[i] = k.String()
	}
	return out
}

// AddSignatures returns t with the good signatures of t and of every other copy of it, and with new ones of signers.
// Only lines of t's own root keys and of those of before stay; before is nil for a first version. A copy with another
// text is refused: its signatures are about something else.
func (t *Trust) AddSignatures(before *Trust, copies []*Trust, signers ...note.Signer) (*Trust, error) {
	keys := slices.Clone(t.roots)
	if before != nil {
		keys = append(keys, before.roots...)
	}
	n := &note.Note{Text: t.Text()}
	for _, c := range append([]*Trust{t}, copies...) {
		if c.Text() != n.Text {
			return nil, fmt.Errorf("%w: the copies of version %d differ: digests %x and %x", ErrTrust, t.Version, t.Digest(), c.Digest())
		}
		_, _, lines := signedBy(c.note, keys)
		for _, l := range lines {
			// One line a key: Ed25519 gives the same bytes again, and a second line could only be another's doing.
			if !slices.ContainsFunc(n.Sigs, func(s note.Signature) bool { return s.Name == l.Name && s.Hash == l.Hash }) {
				n.Sigs = append(n.Sigs, l)
			}
		}
	}
	for _, s := range signers {
		if !slices.ContainsFunc(keys, func(k noteKey) bool { return k.name == s.Name() && k.hash == s.KeyHash() }) {
			return nil, fmt.Errorf("%w: %s is not a root key of version %d or of the one before", ErrTrust, s.Name(), t.Version)
		}
	}
	if len(n.Sigs)+len(signers) == 0 {
		return ParseTrust([]byte(n.Text + "\n"))
	}
	msg, err := note.Sign(n, signers...)
	if err != nil {
		return nil, err
	}
	return ParseTrust(msg)
}
