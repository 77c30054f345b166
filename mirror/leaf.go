package mirror

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/canonical"
	"github.com/starttls-everywhere/policylist/transparency"
)

// ErrLeaf is what every malformed leaf wraps. A malformed leaf in the log has no effect and raises an alarm.
var ErrLeaf = errors.New("malformed leaf")

const (
	maxCode       = 64 // bytes of a reason or override code
	maxSource     = 256
	maxOrigin     = 256
	maxSignatures = 64
)

// Leaf is one entry of the log: exactly one field is set.
type Leaf struct {
	Change  *ChangeLeaf
	Trust   *TrustLeaf
	Release *ReleaseLeaf
}

// ChangeLeaf sets or deletes one domain's policy.
type ChangeLeaf struct {
	Domain  policy.Domain
	Policy  *policy.Policy // nil deletes
	Reason  string         // a code of policy/RULES.md
	Release int64
}

// Append appends the canonical form.
func (c ChangeLeaf) Append(b []byte) []byte {
	b = append(b, `{"domain":"`...)
	b = append(b, c.Domain.String()...)
	b = append(b, `","kind":"change","op":"`...)
	if c.Policy != nil {
		b = append(b, `set","policy":`...)
		b = c.Policy.AppendJSON(b)
		b = append(b, `,"reason":"`...)
	} else {
		b = append(b, `del","reason":"`...)
	}
	b = append(b, c.Reason...)
	b = append(b, `","release":`...)
	return append(strconv.AppendInt(b, c.Release, 10), '}')
}

// Edit is what the leaf does to the list.
func (c ChangeLeaf) Edit() policy.Edit { return policy.Edit{Domain: c.Domain, Policy: c.Policy} }

// TrustLeaf records that a trust version took effect.
type TrustLeaf struct {
	Digest  [32]byte // SHA-256 of the version's text, without its signatures
	Version int64    // from 2: the first one is believed by its fingerprint
}

// Append appends the canonical form.
func (t TrustLeaf) Append(b []byte) []byte {
	return fmt.Appendf(b, `{"kind":"trust","sha256":"%x","version":%d}`, t.Digest, t.Version)
}

// ParseLeaf reads one entry of the log, at most 65,535 bytes in canonical form (schema/README.md, Leaves). What it accepts
// appends to the same bytes. Nothing is verified but the form. Errors wrap ErrLeaf and name the byte.
func ParseLeaf(data []byte) (Leaf, error) {
	if len(data) > transparency.MaxEntryBytes {
		return Leaf{}, fmt.Errorf("%w: %d bytes", ErrLeaf, len(data))
	}
	s := canonical.NewScanner(data)
	var l Leaf
	switch {
	case s.Try(`{"domain":`):
		l.Change = scanChange(s)
	case s.Try(`{"kind":"trust","sha256":`):
		l.Trust = &TrustLeaf{Digest: scanDigest(s)}
		s.Literal(`,"version":`)
		l.Trust.Version = s.Int()
		s.Literal(`}`)
	case s.Try(`{"author":`):
		l.Release = scanRelease(s)
	default:
		s.Fail("neither a change nor a trust nor a release leaf")
	}
	if err := s.Done(); err != nil {
		return Leaf{}, fmt.Errorf("%w: %w", ErrLeaf, err)
	}
	return l, nil
}

func scanChange(s *canonical.Scanner) *ChangeLeaf {
	c := &ChangeLeaf{}
	d, err := policy.ParseDomain(s.Str(253))
	if err != nil {
		s.Fail("%v", err)
	}
	c.Domain = d
	s.Literal(`,"kind":"change","op":`)
	if s.Try(`"set","policy":`) {
		p := policy.ScanPolicy(s, nil)
		c.Policy = &p
	} else {
		s.Literal(`"del"`)
	}
	s.Literal(`,"reason":`)
	c.Reason = scanCode(s)
	if c.Reason == "" {
		s.Fail("a change without a reason")
	}
	s.Literal(`,"release":`)
	c.Release = s.Int()
	s.Literal(`}`)
	return c
}

// scanCode takes a dotted code, or "".
func scanCode(s *canonical.Scanner) string {
	code := s.Str(maxCode)
	if !validCode(code) {
		s.Fail("%q is not a code", code)
	}
	return code
}

func validCode(code string) bool {
	for i := 0; i < len(code); i++ {
		c := code[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '-' {
			return false
		}
	}
	return true
}

func scanDigest(s *canonical.Scanner) (d [32]byte) {
	h := s.Str(64)
	b, err := hex.DecodeString(h)
	if err != nil || len(b) != 32 || hex.EncodeToString(b) != h {
		s.Fail("%q is not a lower-case hex SHA-256", h)
	}
	copy(d[:], b)
	return d
}

// scanOptionalDigest takes a digest or "", which gives nil.
func scanOptionalDigest(s *canonical.Scanner) *[32]byte {
	if s.Try(`""`) {
		return nil
	}
	d := scanDigest(s)
	return &d
}

func scanTime(s *canonical.Scanner) time.Time {
	t, err := policy.ParseTime(s.Str(len(policy.TimeFormat)))
	if err != nil {
		s.Fail("%v", err)
	}
	return t
}

func scanRelease(s *canonical.Scanner) *ReleaseLeaf {
	r := &ReleaseLeaf{Author: s.Str(policy.MaxAuthorLen)}
	s.Literal(`,"changes":{"from":`)
	r.From = s.Int()
	s.Literal(`,"to":`)
	r.To = s.Int()
	s.Literal(`},"count":`)
	r.Count = s.Int()
	s.Literal(`,"evidence":`)
	r.Evidence = scanOptionalDigest(s)
	s.Literal(`,"expires":`)
	r.Expires = scanTime(s)
	s.Literal(`,"kind":"release","list":{"sha256":`)
	r.ListDigest = scanDigest(s)
	s.Literal(`,"size":`)
	r.ListSize = s.Int()
	s.Literal(`},"origin":`)
	r.Origin = s.Str(maxOrigin)
	s.Literal(`,"override":`)
	r.Override = scanCode(s)
	s.Literal(`,"previous":`)
	r.Previous = scanOptionalDigest(s)
	s.Literal(`,"release":`)
	r.Release = s.Int()
	s.Literal(`,"signatures":[`)
	r.Signatures = scanSignatures(s)
	s.Literal(`,"source":`)
	r.Source = s.Str(maxSource)
	s.Literal(`,"timestamp":`)
	r.Timestamp = scanTime(s)
	s.Literal(`,"trust":`)
	r.Trust = s.Int()
	s.Literal(`}`)
	return r
}

func scanSignatures(s *canonical.Scanner) []transparency.KeySignature {
	var out []transparency.KeySignature
	for more := s.Err() == nil; more; more = s.Err() == nil && s.More("]") {
		var k transparency.KeySignature
		s.Literal(`{"key":`)
		id := scanBase64(s, 44) // 33 bytes fit as well
		if copy(k.Key[:], id); len(id) != len(k.Key) {
			s.Fail("a key ID of %d bytes", len(id))
		}
		s.Literal(`,"signature":`)
		k.Signature = scanBase64(s, 1024)
		s.Literal(`}`)
		if out = append(out, k); len(out) > maxSignatures {
			s.Fail("more than %d signatures", maxSignatures)
		}
	}
	return out
}

func scanBase64(s *canonical.Scanner, limit int) []byte {
	text := s.Str(limit)
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(b) == 0 || base64.StdEncoding.EncodeToString(b) != text {
		s.Fail("%q is not standard base64", text)
	}
	return b
}
