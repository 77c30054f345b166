package policy

import (
	"fmt"
	"slices"
	"strings"
)

// body is the inside of an entry or an alias, member by member, as the file has it.
type body struct {
	at                                        *Node
	mode, mxs, alias, managed, note, override *Node
}

// policy reads mode and mxs (rules R18, R19, R22, R41, R46, R53). ok is false when the file gives no usable policy.
func (r *nodeReader) policy(b body, domain string) (p Policy, ok bool) {
	mode, modeOK := r.mode(b, domain)
	mxs, mxsOK := r.mxs(b, domain)
	if !modeOK || !mxsOK {
		return Policy{}, false
	}
	p, err := NewPolicy(mode, mxs)
	if err != nil {
		// Only the number of mxs is left to be wrong.
		r.report("mxs.too-many", b.mxs.At, domain, "%d mxs, the most is %d", len(mxs), MaxMXs)
		return Policy{}, false
	}
	return p, true
}

func (r *nodeReader) mode(b body, domain string) (Mode, bool) {
	if b.mode == nil {
		r.report("mode.missing", b.at.At, domain, "there is no mode")
		return 0, false
	}
	if !r.is(b.mode, JSONString, "mode", domain) {
		return 0, false
	}
	m, err := ParseMode(b.mode.Text)
	if err != nil {
		r.report("mode.unknown", b.mode.At, domain, "%v", err)
	}
	return m, err == nil
}

func (r *nodeReader) mxs(b body, domain string) ([]MXPattern, bool) {
	if b.mxs == nil {
		r.report("mxs.missing", b.at.At, domain, "there are no mxs")
		return nil, false
	}
	if !r.is(b.mxs, JSONArray, "mxs", domain) {
		return nil, false
	}
	if len(b.mxs.Children) == 0 {
		r.report("mxs.missing", b.mxs.At, domain, "mxs is empty")
		return nil, false
	}
	usable := true
	mxs := make([]MXPattern, 0, len(b.mxs.Children))
	for i := range b.mxs.Children {
		n := &b.mxs.Children[i]
		if !r.is(n, JSONString, "an MX pattern", domain) {
			usable = false
			continue
		}
		p, ok := r.pattern(n, domain)
		usable = usable && ok
		if ok && slices.Contains(mxs, p) {
			r.report("mxs.duplicate", n.At, domain, "%q stands in mxs already", p)
			continue
		}
		if ok {
			mxs = append(mxs, p)
			r.redundant(b.mxs, i, p, domain)
		}
	}
	return mxs, usable
}

// redundant warns when another pattern of the policy covers p, the i-th one.
func (r *nodeReader) redundant(mxs *Node, i int, p MXPattern, domain string) {
	if p.IsSuffix() {
		return
	}
	for j := range mxs.Children {
		q := mxs.Children[j].Text
		if j == i || !strings.HasPrefix(q, ".") && !strings.HasPrefix(q, "*.") {
			continue
		}
		if wide, err := NormalizeMXPattern(q); err == nil && wide.Covers(p) {
			r.report("mx.redundant", mxs.Children[i].At, domain, "%q is covered by %q", p, wide)
			return
		}
	}
}

// foreign warns of mxs under a registered domain that is neither the entry's own nor a known provider's, while others
// of the same entry are (rule R53): a host of one network had slipped into the old list's entry of quite another.
// An entry that lies wholly with some other host is ordinary hosting.
func (r *nodeReader) foreign(n *Node, d Domain, p Policy, mxs *Node) {
	if len(p.MXs) < 2 || slices.IndexFunc(p.MXs, func(m MXPattern) bool { return !underOrSame(m.Base(), d) }) < 0 {
		return
	}
	own := RegisteredDomain(d)
	var strange []MXPattern
	for _, m := range p.MXs {
		if reg := RegisteredDomain(m.Base()); reg != own && !knownProvider(reg) {
			strange = append(strange, m)
		}
	}
	if len(strange) == len(p.MXs) {
		return
	}
	for _, m := range strange {
		at := n.At
		for i := range mxs.Children {
			if q, err := NormalizeMXPattern(mxs.Children[i].Text); err == nil && q == m {
				at = mxs.Children[i].At
				break
			}
		}
		r.report("mx.foreign", at, d.name, "%q lies neither under %s nor with a known provider, unlike the other mxs", m, own)
	}
}

func underOrSame(host, d Domain) bool {
	return host == d || strings.HasSuffix(host.name, "."+d.name)
}

// ForeignUnused finds, with the MX hosts that a live lookup gave, the patterns that no MX record uses and that lie
// under another registered domain than d and than the MX hosts, and with no known provider (rule R53). at is the place
// to show.
func ForeignUnused(d Domain, p Policy, live []Domain, at Position) []Finding {
	near := []string{RegisteredDomain(d)}
	for _, host := range live {
		near = append(near, RegisteredDomain(host))
	}
	var findings []Finding
	for _, m := range p.MXs {
		reg := RegisteredDomain(m.Base())
		if slices.ContainsFunc(live, m.Matches) || slices.Contains(near, reg) || knownProvider(reg) {
			continue
		}
		findings = append(findings, NewFinding("mx.foreign-unused", at, d.name,
			fmt.Sprintf("no MX record of %s matches %q, which lies under the unrelated %s", d, m, m.Base())))
	}
	return findings
}
