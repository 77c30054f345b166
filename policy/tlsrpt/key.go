package tlsrpt

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

// Key tells whether two documents are the same report: who sent it, under which report-id, for which range, about which
// domain. Report-ids alone are unique only to their sender (RFC 8460 section 4.4), and some senders use one for all domains of a
// day. Keys compare with ==.
type Key struct {
	Submitter  policy.Domain // who sent it, as the transport proved it; zero for nobody known
	ReportID   string
	Begin, End int64 // Unix seconds; 0 for none
	Domain     policy.Domain
}

// Key is the key of what the report says of domain, from submitter.
func (r *Report) Key(submitter, domain policy.Domain) Key {
	return Key{Submitter: submitter, ReportID: r.ID, Begin: seconds(r.Begin), End: seconds(r.End), Domain: domain}
}

func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// Digest is SHA-256 over the key in lower-case hex: 64 bytes, whatever a sender put into its report-id.
func (k Key) Digest() string {
	h := sha256.New()
	for _, s := range []string{k.Submitter.String(), k.ReportID, k.Domain.String()} {
		// With its length in front, no text can pass for the end of one field and the start of the next.
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(s))))
		h.Write([]byte(s))
	}
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(k.Begin)))
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(k.End)))
	return hex.EncodeToString(h.Sum(nil))
}
