package discovery

import "strings"

// versioned finds the records that begin with version and a semicolon, blanks between them allowed, and counts them. The
// fields of the last one come without the blanks around them; one semicolon may end it. Records like these are specified
// alike in RFC 8461 section 3.1 and RFC 8460 section 3.
func versioned(version string, txts []string) (fields []string, found int) {
	for _, txt := range txts {
		rest, ok := strings.CutPrefix(txt, version)
		if rest = trimWSP(rest); !ok || !strings.HasPrefix(rest, ";") {
			continue
		}
		found++
		rest = strings.TrimSuffix(rest[1:], ";")
		fields = nil
		for field := range strings.SplitSeq(rest, ";") {
			fields = append(fields, trimWSP(field))
		}
	}
	return fields, found
}

// trimWSP takes off blanks and tabs (WSP of RFC 5234 appendix B.1), which is less than what Go calls space.
func trimWSP(s string) string { return strings.Trim(s, " \t") }

// fieldName is tlsrpt-ext-name: a letter or digit, then up to 31 letters, digits, "_", "-" and ".".
func fieldName(s string) bool {
	for i := range len(s) {
		c := s[i]
		alphanumeric := c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if !alphanumeric && (i == 0 || c != '_' && c != '-' && c != '.') {
			return false
		}
	}
	return s != "" && len(s) <= 32
}
