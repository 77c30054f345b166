package mirror

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/canonical"
	"github.com/starttls-everywhere/policylist/transparency"
)

// A release lives at least MinLifetime, so that a client that was off for some days still holds a list, and at most
// MaxLifetime, which bounds what a freeze attack can gain.
const (
	MinLifetime = 7 * 24 * time.Hour
	MaxLifetime = 30 * 24 * time.Hour
)

// OverrideFinal in a release leaf ends the list: clients drop everything and stop asking more than weekly.
const OverrideFinal = "list.final"

// MaxListBytes caps a list file whatever its signed size says: 10,000,000 domains fit.
const MaxListBytes = 4 << 30

// ReleaseLeaf closes a release: it binds the list's bytes, the number, the times, the range of its changes, the
// origin and the trust version, and carries the release keys' signatures over all that.
type ReleaseLeaf struct {
	Author     string
	From, To   int64 // indexes [From, To) of this release's change leaves; equal when nothing changed
	Count      int64 // domains on the list
	Evidence   *[32]byte
	Expires    time.Time
	ListDigest [32]byte // SHA-256 of policy.json
	ListSize   int64    // bytes of policy.json
	Origin     string
	Override   string    // a code of policy/RULES.md, or ""
	Previous   *[32]byte // SHA-256 of the previous valid release leaf; nil for the first
	Release    int64     // 1, 2, 3, …
	Signatures []transparency.KeySignature
	Source     string // "git:<commit>", "import:<sha256>" or "renew"
	Timestamp  time.Time
	Trust      int64
}

// IsImport reports whether the release carries an old list's history; its times are that history's.
func (r *ReleaseLeaf) IsImport() bool { return strings.HasPrefix(r.Source, "import:") }

// IsFinal reports whether the release ends the list: it says so and is empty.
func (r *ReleaseLeaf) IsFinal() bool { return r.Override == OverrideFinal && r.Count == 0 }

// Header is what policy.json says besides its policies.
func (r *ReleaseLeaf) Header() policy.Header {
	return policy.Header{Timestamp: r.Timestamp, Expires: r.Expires, Author: r.Author}
}

// Bytes returns the canonical leaf.
func (r *ReleaseLeaf) Bytes() ([]byte, error) { return r.append(nil, true) }

// Message returns what the release keys sign: "policylist/release/v1", the origin, and the leaf without its
// signatures, a line each but the last without a newline.
func (r *ReleaseLeaf) Message() ([]byte, error) {
	return r.append([]byte("policylist/release/v1\n"+r.Origin+"\n"), false)
}

func (r *ReleaseLeaf) append(b []byte, signed bool) ([]byte, error) {
	var errs []error
	str := func(b []byte, v string, limit int) []byte {
		out, err := canonical.AppendString(b, v)
		if len(v) > limit {
			err = fmt.Errorf("string of %d bytes, the most is %d", len(v), limit)
		}
		if err != nil {
			errs = append(errs, err)
			return b
		}
		return out
	}
	b = str(append(b, `{"author":`...), r.Author, policy.MaxAuthorLen)
	b = fmt.Appendf(b, `,"changes":{"from":%d,"to":%d},"count":%d,"evidence":"%s","expires":"%s","kind":"release","list":{"sha256":"%x","size":%d},"origin":`,
		r.From, r.To, r.Count, hexOrEmpty(r.Evidence), r.Expires.UTC().Format(policy.TimeFormat), r.ListDigest, r.ListSize)
	b = str(b, r.Origin, maxOrigin)
	b = str(append(b, `,"override":`...), r.Override, maxCode)
	b = fmt.Appendf(b, `,"previous":"%s","release":%d,`, hexOrEmpty(r.Previous), r.Release)
	if signed {
		b = append(b, `"signatures":[`...)
		for i, s := range r.Signatures {
			if i > 0 {
				b = append(b, ',')
			}
			b = fmt.Appendf(b, `{"key":"%s","signature":"%s"}`, base64.StdEncoding.EncodeToString(s.Key[:]), base64.StdEncoding.EncodeToString(s.Signature))
		}
		b = append(b, `],`...)
	}
	b = str(append(b, `"source":`...), r.Source, maxSource)
	b = fmt.Appendf(b, `,"timestamp":"%s","trust":`, r.Timestamp.UTC().Format(policy.TimeFormat))
	b = append(strconv.AppendInt(b, r.Trust, 10), '}')
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("release leaf: %w", err)
	}
	return b, nil
}

func hexOrEmpty(d *[32]byte) string {
	if d == nil {
		return ""
	}
	return fmt.Sprintf("%x", *d)
}

// checkAlone verifies what a release leaf must satisfy whatever came before it: origin, lifetime, and the
// signatures by the trust version that it names.
func (r *ReleaseLeaf) checkAlone(chain *transparency.TrustChain) error {
	trust, err := chain.Version(r.Trust)
	if err != nil {
		return err
	}
	if r.Origin != trust.Origin {
		return fmt.Errorf("its origin is %q, this list's is %q", r.Origin, trust.Origin)
	}
	if life := r.Expires.Sub(r.Timestamp); !r.IsImport() && (life < MinLifetime || life > MaxLifetime) || life <= 0 {
		return fmt.Errorf("it lives %s, from %s to %s; 7 to 30 days are allowed", life, r.Timestamp.Format(policy.TimeFormat), r.Expires.Format(policy.TimeFormat))
	}
	if r.Release < 1 || (r.Release == 1) != (r.Previous == nil) {
		return fmt.Errorf("release %d, previous %q: only the first has none", r.Release, hexOrEmpty(r.Previous))
	}
	msg, err := r.Message()
	if err != nil {
		return err
	}
	if err := trust.VerifyRelease(msg, r.Signatures); err != nil {
		return err
	}
	if r.Timestamp.After(trust.Expires) {
		return fmt.Errorf("%w: it was made at %s, after the end of trust version %d", ErrTrustExpired, r.Timestamp.Format(policy.TimeFormat), r.Trust)
	}
	return nil
}
