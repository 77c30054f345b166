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

// Format writes a record: the version and its fields.
//
//	txtrecord.Format("v=TLSRPTv1", "rua=mailto:a@b.example") // "v=TLSRPTv1; rua=mailto:a@b.example"
func Format(version string, fields ...string) string {
	return strings.Join(append([]string{version}, fields...), "; ")
}

// maxString is the most that one character-string of a record holds (RFC 1035 section 3.3).
const maxString = 255

// Zone writes text, printable ASCII, as the data of a TXT record in a zone file (RFC 1035 section 5.1): quoted, and in several
// strings where it is too long for one, which readers join without a space.
func Zone(text string) string {
	var parts []string
	for len(text) > maxString {
		parts, text = append(parts, text[:maxString]), text[maxString:]
	}
	parts = append(parts, text)
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`)
	for i, part := range parts {
		parts[i] = `"` + quote.Replace(part) + `"`
	}
	return strings.Join(parts, " ")
}

// TrimWSP takes off blanks and tabs (WSP of RFC 5234 appendix B.1), which is less than what Go calls space.
func TrimWSP(s string) string { return strings.Trim(s, " \t") }
