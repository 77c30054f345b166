package mta

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
)

// Dialect says which attributes a Postfix knows. One that it does not know makes it defer all mail of the domain
// ("invalid attribute name", Postfix 3.7.11), so the dialect must not be newer than the server. The zero value is
// Legacy, which every version reads.
type Dialect int

const (
	// Legacy has level and match= only: Postfix before 3.4.
	Legacy Dialect = iota
	// SNI adds servername=hostname (RFC 8461 section 7.1): the MX name goes out in the handshake, without which servers
	// with several certificates present the wrong one. From Postfix 3.4 on.
	SNI
	// Floor adds protocols=>=TLSv1.2 (RFC 8461 section 7.2) to SNI. From Postfix 3.6 on, which brought the ">=" form.
	Floor
	// TLSRPT adds policy_type=sts, policy_domain and mx_host_pattern to Floor. By them Postfix skips MX hosts that the policy
	// does not name, before it connects, takes a star for exactly one label, and wants a certificate for the host's own name
	// (smtp_tls_enforce_sts_mx_patterns). The attributes came with Postfix 3.10.0, for reports only (RFC 8460); from 3.10.5
	// on they are enforced.
	TLSRPT
)

// Exact reports whether a suffix pattern means one label, as the list has it, and not any number of them.
func (d Dialect) Exact() bool { return d == TLSRPT }

// dialectNames lists all, oldest first.
var dialectNames = [...]string{Legacy: "legacy", SNI: "sni", Floor: "floor", TLSRPT: "tlsrpt"}

// String returns the name as in configuration files.
func (d Dialect) String() string {
	if d < 0 || int(d) >= len(dialectNames) {
		return "dialect(" + strconv.Itoa(int(d)) + ")"
	}
	return dialectNames[d]
}

// appendAttributes appends those that follow match=, each with a space in front.
func (d Dialect) appendAttributes(buf []byte, domain policy.Domain, p policy.Policy) []byte {
	if d >= SNI {
		buf = append(buf, " servername=hostname"...)
	}
	if d >= Floor {
		buf = append(buf, " protocols=>=TLSv1.2"...)
	}
	if d < TLSRPT {
		return buf
	}
	// Of the types only "sts" lets Postfix look at the patterns, which it wants in the spelling of MTA-STS: it would take
	// ".example" for a host's name (postfix-tlspol issue 94).
	buf = append(append(buf, " policy_type=sts policy_domain="...), domain.String()...)
	for _, mx := range p.MXs {
		buf = append(append(buf, " mx_host_pattern="...), mx.STS()...)
	}
	return buf
}

// ParseDialect reads a dialect's name.
func ParseDialect(s string) (Dialect, error) {
	for d, name := range dialectNames {
		if s == name {
			return Dialect(d), nil
		}
	}
	return Legacy, fmt.Errorf("unknown Postfix dialect %q: it is one of %s", s, strings.Join(dialectNames[:], ", "))
}

// mapDialects are by the name of a socketmap. The last three are those of postfix-tlspol and postfix-mta-sts-resolver, so that
// changing over is one line in main.cf; all of them send SNI.
var mapDialects = map[string]Dialect{
	"legacy": Legacy, "sni": SNI, "floor": Floor, "tlsrpt": TLSRPT,
	"QUERY": SNI, "QUERYwithTLSRPT": TLSRPT, "postfix": SNI,
}

// MapDialect returns the dialect that a socketmap of this name is answered in. A name that nobody knows, for which ok is false,
// is answered in Legacy: every Postfix reads it, and NOTFOUND would switch the list off for a slip of the finger.
func MapDialect(mapName string) (d Dialect, ok bool) {
	d, ok = mapDialects[mapName]
	return d, ok
}

// DialectOf returns the newest dialect for a Postfix version as "postconf -h mail_version" prints it: "3.7.11", or
// "3.6-20201226" for a snapshot, which counts as the release before it, since it may lack what the release has.
func DialectOf(mailVersion string) (Dialect, error) {
	version, _, snapshot := strings.Cut(strings.TrimSpace(mailVersion), "-")
	parts := strings.Split(version, ".")
	if len(parts) < 2 {
		return Legacy, fmt.Errorf("mail_version %q is not of the form 3.7.11", mailVersion)
	}
	major, err1 := strconv.Atoi(parts[0])
	minor, err2 := strconv.Atoi(parts[1])
	if err1 != nil || err2 != nil || major < 0 || minor < 0 {
		return Legacy, fmt.Errorf("mail_version %q is not of the form 3.7.11", mailVersion)
	}
	patch := 0 // of a release candidate, too, whose number is none
	if len(parts) > 2 {
		patch, _ = strconv.Atoi(parts[2])
	}
	if snapshot {
		minor, patch = minor-1, 0
	}
	switch {
	case major > 3 || major == 3 && (minor > 10 || minor == 10 && patch >= 5):
		return TLSRPT, nil
	case major == 3 && minor >= 6:
		return Floor, nil
	case major == 3 && minor >= 4:
		return SNI, nil
	}
	return Legacy, nil
}
