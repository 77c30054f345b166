// Package txtrecord splits the kind of TXT record that begins with a version and goes on in fields behind semicolons, as
// TLSRPT (RFC 8460 section 3) and the proof of control have it. It is pure.
//
//	fields, found := txtrecord.Versioned("v=TLSRPTv1", []string{"v=spf1 -all", "v=TLSRPTv1; rua=mailto:a@b.example;"})
//	fields // ["rua=mailto:a@b.example"]
//	found  // 1
package txtrecord

import "strings"

// Versioned splits the records that begin with version and a semicolon into fields: one of them, when found is 1.
// Each record of txts has its strings joined without a space. One semicolon may end a record.
func Versioned(version string, txts []string) (fields []string, found int) {
	for _, txt := range txts {
		rest, ok := strings.CutPrefix(txt, version)
		if rest = TrimWSP(rest); !ok || !strings.HasPrefix(rest, ";") {
			continue
		}
		found++
		rest = strings.TrimSuffix(rest[1:], ";")
		fields = nil
		for field := range strings.SplitSeq(rest, ";") {
			fields = append(fields, TrimWSP(field))
		}
	}
	return fields, found
}

// TrimWSP takes off blanks and tabs (WSP of RFC 5234 appendix B.1), which is less than what Go calls space.
func TrimWSP(s string) string { return strings.Trim(s, " \t") }
