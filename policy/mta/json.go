package mta

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"

	"github.com/starttls-everywhere/policylist/policy"
)

// writeJSON writes one object, a domain a line; patterns are in the spelling of RFC 8461:
//
//	{"origin":"log.example/list","release":7,"expires":"2026-12-09T06:00:00Z","list":"sha256:…","policies":{
//	"b.example":["*.mail.b.example","mx.b.example"]
//	}}
func writeJSON(w io.WriteSeeker, entries iter.Seq2[policy.Domain, policy.Policy], h Header) (Report, error) {
	buf, err := beginJSON(h)
	if err != nil {
		return Report{}, err
	}
	out := &lines{w: w, buf: buf}
	var report Report
	err = report.rows(entries, func(domain policy.Domain, p policy.Policy) error {
		return out.add(func(buf []byte) []byte {
			if report.Emitted > 1 {
				buf = append(buf, ',')
			}
			return appendJSONRow(buf, domain, p)
		})
	})
	if err != nil {
		return report, err
	}
	out.buf = append(out.buf, "\n}}\n"...)
	return report, out.flush()
}

// appendJSONRow begins with the line's end of the row before. Names hold nothing that JSON would escape.
func appendJSONRow(buf []byte, domain policy.Domain, p policy.Policy) []byte {
	buf = append(append(append(buf, "\n\""...), domain.String()...), `":[`...)
	for i, mx := range p.MXs {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = append(append(append(buf, '"'), mx.STS()...), '"')
	}
	return append(buf, ']')
}

func beginJSON(h Header) ([]byte, error) {
	origin, err := json.Marshal(h.Origin)
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, `{"origin":%s,"release":%d,"expires":"%s","list":"sha256:%x","policies":{`,
		origin, h.Release, h.Expires.UTC().Format(policy.TimeFormat), h.Digest), nil
}
