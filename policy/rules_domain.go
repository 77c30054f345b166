package policy

import (
	"net/netip"
	"slices"
	"strings"
)

// domain reads the name of an entry (rules R12, R13); zero with a finding when it is none.
func (r *nodeReader) domain(n *Node) Domain {
	key := n.Key
	d, err := ParseDomain(key)
	if err != nil {
		switch normal, err2 := NormalizeDomain(key); {
		case strings.HasPrefix(key, ".") || strings.Contains(key, "*"):
			r.report("domain.wildcard", n.KeyAt, key, "%q is a pattern, not a domain", key)
			return Domain{}
		case err2 != nil:
			r.report("domain.syntax", n.KeyAt, key, "%v", err2)
			return Domain{}
		default:
			r.report("domain.form", n.KeyAt, normal.name, "%q is published as %q", key, normal)
			d = normal
		}
	}
	if isPublicSuffix(d) && !slices.Contains(mailSuffixes(), d.name) {
		r.report("domain.public-suffix", n.KeyAt, d.name, "%s is a public suffix: its subdomains belong to many owners", d)
	}
	return d
}

// pattern reads one of a policy's mxs (rules R13, R22 to R28, R47).
func (r *nodeReader) pattern(n *Node, domain string) (MXPattern, bool) {
	p, err := ParseMXPattern(n.Text)
	if err != nil {
		var ok bool
		if p, ok = r.repaired(n, domain); !ok {
			return p, false
		}
	}
	if !p.IsSuffix() {
		return p, true
	}
	if isPublicSuffix(p.Base()) {
		r.report("mx.public-suffix", n.At, domain, "%q covers every name registered under %s", n.Text, p.Base())
	} else if whose := sharedBy(p.Base()); whose != "" {
		r.report("mx.shared-base", n.At, domain, "%q covers the hosts of all customers of %s", n.Text, whose)
	}
	return p, true
}

// repaired deals with a pattern that is not in canonical form: either it has one, or a finding says why not.
func (r *nodeReader) repaired(n *Node, domain string) (MXPattern, bool) {
	s := n.Text
	suffix := strings.TrimPrefix(strings.TrimPrefix(s, "*"), ".")
	p, err := NormalizeMXPattern(s)
	switch {
	case s == "" || s == ".":
		r.report("mx.null", n.At, domain, "%q is the null MX", s)
	case isAddress(s):
		r.report("mx.address", n.At, domain, "%q is an IP address", s)
	case strings.Contains(suffix, "*") || strings.HasPrefix(suffix, ".") || strings.HasPrefix(s, "*") && !strings.HasPrefix(s, "*."):
		r.report("mx.wildcard", n.At, domain, "%q has a wildcard that is not the whole first label", s)
	case err != nil:
		r.report("mx.syntax", n.At, domain, "%v", err)
	default:
		r.report("mx.form", n.At, domain, "%q is published as %q", s, p)
		return p, true
	}
	return MXPattern{}, false
}

func isAddress(s string) bool {
	s = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]")
	s = strings.TrimPrefix(strings.TrimSuffix(s, "."), "IPv6:")
	_, err := netip.ParseAddr(s)
	return err == nil
}
