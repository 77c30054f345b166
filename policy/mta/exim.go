package mta

import (
	"fmt"
	"io"
	"iter"

	"github.com/starttls-everywhere/policylist/policy"
)

// writeExim writes a cdb for ${lookup{$domain}cdb{FILE}}: by domain an Exim list of MX names in the spelling of RFC 8461,
//
//	b.example -> *.mail.b.example : mx.b.example
//
// to be compared by inlisti as text, with the host's name and with the name whose first label is replaced by "*". So a
// pattern is exactly one label. What describes the release stands under keys that are no domains: "#expires" and so on.
func writeExim(w io.WriteSeeker, entries iter.Seq2[policy.Domain, policy.Policy], h Header) (Report, error) {
	c := NewCDB(w)
	var report Report
	if err := putHeader(c, h); err != nil {
		return report, err
	}
	var value []byte
	err := report.rows(entries, func(domain policy.Domain, p policy.Policy) error {
		value = value[:0]
		for i, mx := range p.MXs {
			if i > 0 {
				value = append(value, " : "...)
			}
			value = append(value, mx.STS()...)
		}
		return c.Put([]byte(domain.String()), value)
	})
	if err != nil {
		return report, err
	}
	return report, c.Close()
}

func putHeader(c *CDB, h Header) error {
	for _, field := range [][2]string{
		{"#expires", h.Expires.UTC().Format(policy.TimeFormat)},
		{"#origin", h.Origin},
		{"#release", fmt.Sprint(h.Release)},
		{"#list", fmt.Sprintf("sha256:%x", h.Digest)},
	} {
		if err := c.Put([]byte(field[0]), []byte(field[1])); err != nil {
			return err
		}
	}
	return nil
}
