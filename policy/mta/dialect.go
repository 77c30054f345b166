package mta

import (
	"fmt"
	"strconv"
	"strings"
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
)

// dialectNames lists all, oldest first.
var dialectNames = [...]string{Legacy: "legacy", SNI: "sni", Floor: "floor"}

// String returns the name as in configuration files.
func (d Dialect) String() string {
	if d < 0 || int(d) >= len(dialectNames) {
		return "dialect(" + strconv.Itoa(int(d)) + ")"
	}
	return dialectNames[d]
}

// attributes follow match=, each with a space in front.
func (d Dialect) attributes() string {
	switch d {
	case SNI:
		return " servername=hostname"
	case Floor:
		return " servername=hostname protocols=>=TLSv1.2"
	}
	return ""
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
	if snapshot {
		minor--
	}
	switch {
	case major > 3 || major == 3 && minor >= 6:
		return Floor, nil
	case major == 3 && minor >= 4:
		return SNI, nil
	}
	return Legacy, nil
}
