package mta

import (
	"embed"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
)

// Format is a file for a mail server other than Postfix, whose table has types and dialects of its own. Formats has them
// all. Each writes whole files: the same entries give the same bytes.
type Format struct {
	Name   string // as in "export NAME"
	Server string // whose
	File   string // what such a file is usually called
	// Enforces and Cannot are for people: what the server does with the file as Settings has it, and what the list means
	// and the server does not do.
	Enforces, Cannot string
	// Names says whether the server compares the names of MX hosts with the policy's patterns.
	Names bool
	// Compiled is the suffix of what the server reads in place of the file, made by its own program; "" when it reads the file.
	Compiled string

	settings string // file in settings/
	// Either one line a domain, with comments that begin with mark, or a function of its own.
	mark   byte
	line   func(buf []byte, domain policy.Domain, p policy.Policy) []byte
	nobody string // line of a file that has no other; "" where none is needed
	write  func(w io.WriteSeeker, entries iter.Seq2[policy.Domain, policy.Policy], h Header) (Report, error)
}

// Formats are in the order of the help.
func Formats() []Format { return slices.Clone(formats) }

// FindFormat returns the format of a name.
func FindFormat(name string) (Format, bool) {
	i := slices.IndexFunc(formats, func(f Format) bool { return f.Name == name })
	if i < 0 {
		return Format{}, false
	}
	return formats[i], true
}

// Write writes the file for entries, sorted and unique as Postfix takes them. On error w holds a part of a file.
func (f Format) Write(w io.WriteSeeker, entries iter.Seq2[policy.Domain, policy.Policy], h Header) (Report, error) {
	if err := h.check(); err != nil {
		return Report{}, err
	}
	if f.line != nil {
		return f.writeLines(w, entries, h)
	}
	return f.write(w, entries, h)
}

// Empty writes a file that names no domain, so that the server's own settings decide; why is one line for whoever reads it,
// such as Expired. Removing the file instead would stop all mail of a server that is told to read it.
func (f Format) Empty(w io.WriteSeeker, h Header, why string) error {
	if err := errors.Join(h.check(), checkComment("reason", why)); err != nil {
		return err
	}
	if f.line != nil {
		return f.emptyLines(w, h, why)
	}
	_, err := f.write(w, func(func(policy.Domain, policy.Policy) bool) {}, h)
	return err
}

// Expired is why the file of an expired list is empty.
const Expired = "this list has EXPIRED, and no domain has a line until a fresh list arrives: see starttls-policy status"

//go:embed settings
var settings embed.FS

// Settings is what to add to the server's configuration, for a file at path.
func (f Format) Settings(path string) string {
	text, err := settings.ReadFile("settings/" + f.settings)
	if err != nil {
		panic(err) // embedded, so only a typing error
	}
	return strings.ReplaceAll(string(text), "@FILE@", path)
}

var formats = []Format{
	{
		Name: "exim", Server: "Exim", File: "exim-tls-policy.cdb", settings: "exim.conf", Names: true,
		Enforces: "TLS 1.2 or later, a certificate of a trusted CA for the MX host's name, and an MX host that the policy names, " +
			"one label for a pattern: all that the list means",
		Cannot: "keep a refused host apart from other domains: Exim's retry database marks it for all",
		write:  writeExim,
	},
	{
		Name: "sendmail-sts", Server: "sendmail 8.16 and later, FEATURE(sts)", File: "sendmail-tls-policy", settings: "sendmail-sts.mc", Names: true, Compiled: ".db",
		Enforces: "TLS, a certificate of a trusted CA for the MX host's name, and an MX host that the policy names, one label for " +
			"a pattern",
		Cannot: "ask for TLS 1.2, which is left to ClientSSLOptions",
		mark:   '#', line: lineSendmailSTS,
	},
	{
		Name: "sendmail", Server: "sendmail's access database", File: "sendmail-access", settings: "sendmail.mc",
		Enforces: "TLS with 128 bits and a certificate of a trusted CA for the MX host's name",
		Cannot: "notice forged MX records, for any MX host with a valid certificate will do; nor leave out the names below a " +
			"domain, which the list does not cover",
		mark: '#', line: lineSendmail,
	},
	{
		Name: "opensmtpd", Server: "OpenSMTPD", File: "opensmtpd-domains", settings: "opensmtpd.conf",
		Enforces: "TLS and a certificate of a trusted CA for the MX host's name",
		Cannot:   "notice forged MX records, for any MX host with a valid certificate will do",
		mark:     '#', line: lineDomain, nobody: nobody,
	},
	{
		Name: "haraka", Server: "Haraka", File: "haraka-tls.ini", settings: "haraka.ini",
		Enforces: "TLS; a certificate of a trusted CA only with rejectUnauthorized, which then concerns all domains",
		Cannot:   "notice forged MX records, for any MX host will do",
		mark:     ';', line: lineHaraka,
	},
	{
		Name: "json", Server: "Halon, KumoMTA, Stalwart and other servers with scripts", File: "tls-policy.json", settings: "json.lua",
		Enforces: "what the script makes of it: domain, and patterns for MX hosts, \"*.\" for exactly one label",
		Cannot:   "do anything by itself, nor empty itself when updates have stopped: look at \"expires\"",
		write:    writeJSON,
	},
	{
		Name: "hints", Server: "resolvers of MTA-STS or DANE that have a cache", File: "hints", settings: "hints.sh",
		Enforces: "nothing: one domain a line, testing ones too, to be asked about before the first mail",
		Cannot:   "stand in for a policy",
		write:    writeHints,
	},
}

// rows hands each entry that has a line to put, and counts all.
func (r *Report) rows(entries iter.Seq2[policy.Domain, policy.Policy], put func(policy.Domain, policy.Policy) error) error {
	var last policy.Domain
	for domain, p := range entries {
		if err := follows(&last, domain); err != nil {
			return err
		}
		err := usable(p)
		if domain.IsZero() {
			err = fmt.Errorf("%w: no domain", ErrUnusable)
		}
		switch {
		case err == ErrTesting:
			r.Testing++
		case err != nil:
			r.Refused = append(r.Refused, Refusal{domain, err})
		default:
			r.Emitted++
			if err := put(domain, p); err != nil {
				return err
			}
		}
	}
	return nil
}
