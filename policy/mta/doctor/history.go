package doctor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mta/maillog"
)

const (
	// maxDestinations bounds the memory that a log may take: its recipients are whoever sends mail through the server.
	maxDestinations = 1 << 18
	// maxHosts is how many hosts outside of a policy are named for one domain.
	maxHosts = 5
	// maxWaits is how many domains get a finding of their own; the report has them all.
	maxWaits = 20
	// maxEarly is how many deliveries without TLS may stand before the first one with it until that looks like a log that had
	// no lines about TLS then. Nine servers of ten have TLS.
	maxEarly = 20
)

// History is what a mail log says about domains that are listed now: what would have happened had the list been in force.
// The zero value with a Lookup is ready; Add takes the attempts as they come in the log.
type History struct {
	// Lookup is the policy in force for a domain.
	Lookup func(policy.Domain) (policy.Policy, bool)

	seen   map[policy.Domain]bool // delivered to; true: each time with a good certificate
	listed map[policy.Domain]*Destination
	most   int // maxDestinations, or what a test sets
	more   bool
	tls    bool // some session was over TLS
	early  int  // deliveries before the first one that was
	good   bool // some certificate was found good
	waits  int  // deferred over our own configuration
	relay  string
	relays bool // more than one server
}

// Destination is one listed domain in the log. Every delivery counts for one of Fine to Unknown.
type Destination struct {
	Domain    string   `json:"domain"`
	Mode      string   `json:"mode"`
	Sent      int      `json:"sent"`
	Fine      int      `json:"fine"`                 // a good certificate, and a host that the policy names
	Clear     int      `json:"clear,omitempty"`      // without TLS
	Untrusted int      `json:"untrusted,omitempty"`  // a certificate of no CA that Postfix has
	Outside   int      `json:"outside,omitempty"`    // a host that the policy does not name
	Hosts     []string `json:"hosts,omitempty"`      // of these, the first few
	Unknown   int      `json:"unknown,omitempty"`    // no certificate was asked for, or none could have been found good
	Deferred  int      `json:"deferred,omitempty"`   // for reasons of TLS
	OtherFail int      `json:"other_fail,omitempty"` // deferred or bounced for other reasons

	early int // of Clear, before the first delivery over TLS
}

// Waits is how many deliveries an enforced policy would have kept in the queue.
func (d Destination) Waits() int { return d.Clear + d.Untrusted + d.Outside }

// HistoryReport is History in numbers.
type HistoryReport struct {
	maillog.Summary
	Destinations int           `json:"destinations"`
	AtLeast      bool          `json:"at_least,omitempty"` // there were too many to count them all
	Good         int           `json:"good"`               // destinations that always showed a good certificate
	Enforce      int           `json:"enforce"`            // destinations that are listed, by mode
	Testing      int           `json:"testing"`
	Sent         int           `json:"sent"`  // deliveries to listed domains
	Waits        int           `json:"waits"` // of these, to enforced ones, that would have waited
	Listed       []Destination `json:"listed"`
	Findings     []Finding     `json:"findings"`
}

// Add takes one attempt of a log.
func (h *History) Add(a maillog.Attempt) {
	if h.seen == nil {
		h.seen, h.listed = map[policy.Domain]bool{}, map[policy.Domain]*Destination{}
		h.most = cmp.Or(h.most, maxDestinations)
	}
	good := a.Level >= maillog.Trusted
	h.good, h.tls = h.good || good, h.tls || a.Level != maillog.None
	if a.Reason == maillog.Configuration {
		h.waits++
	}
	if a.Domain.IsZero() {
		return
	}
	if a.Status == maillog.Sent {
		if !h.tls {
			h.early++
		}
		h.relays = h.relays || h.relay != "" && h.relay != a.Relay.Host
		h.relay = a.Relay.Host
		before, known := h.seen[a.Domain]
		switch {
		case known:
			h.seen[a.Domain] = before && good
		case len(h.seen) >= h.most:
			h.more = true
		default:
			h.seen[a.Domain] = good
		}
	}
	if d, p := h.destination(a.Domain); d != nil {
		d.add(a, p, !h.tls)
	}
}

// destination finds or makes the row of a listed domain; nil for others. It is bounded as the rest is.
func (h *History) destination(domain policy.Domain) (*Destination, policy.Policy) {
	p, ok := h.Lookup(domain)
	if !ok {
		return nil, p
	}
	d := h.listed[domain]
	if d == nil && len(h.listed) < h.most {
		d = &Destination{Domain: domain.String(), Mode: p.Mode.String()}
		h.listed[domain] = d
	}
	return d, p
}

// add counts an attempt. early says that no delivery before had a line about TLS.
func (d *Destination) add(a maillog.Attempt, p policy.Policy, early bool) {
	switch {
	case a.Status != maillog.Sent && a.Reason != "":
		d.Deferred++
		return
	case a.Status != maillog.Sent:
		d.OtherFail++
		return
	}
	d.Sent++
	switch {
	case !p.Allows(a.Host):
		d.Outside++
		if !slices.Contains(d.Hosts, a.Relay.Host) && len(d.Hosts) < maxHosts {
			d.Hosts = append(d.Hosts, a.Relay.Host)
		}
	case a.Level == maillog.Anonymous:
		d.Unknown++
	case a.Level == maillog.None:
		d.Clear++
		if early {
			d.early++
		}
	case a.Level == maillog.Untrusted:
		d.Untrusted++
	default:
		d.Fine++
	}
}

// Report sums up. s is what the walks over the logs have counted.
func (h *History) Report(s maillog.Summary) HistoryReport {
	r := HistoryReport{Summary: s, Destinations: len(h.seen), AtLeast: h.more, Listed: []Destination{}, Findings: []Finding{}}
	for _, good := range h.seen {
		if good {
			r.Good++
		}
	}
	for _, d := range h.listed {
		if !h.tls || h.early > maxEarly { // nothing was in clear text in a log that says nothing about TLS
			d.Unknown, d.Clear, d.early = d.Unknown+d.early, d.Clear-d.early, 0
		}
		if !h.good { // without CA certificates nobody could be trusted
			d.Unknown, d.Untrusted = d.Unknown+d.Untrusted, 0
		}
		r.Sent += d.Sent
		if d.Mode == policy.Enforce.String() {
			r.Enforce++
			r.Waits += d.Waits()
		} else {
			r.Testing++
		}
		r.Listed = append(r.Listed, *d)
	}
	slices.SortFunc(r.Listed, func(a, b Destination) int {
		return cmp.Or(cmp.Compare(b.Waits(), a.Waits()), cmp.Compare(a.Domain, b.Domain))
	})
	r.Findings = append(r.Findings, h.findings(s)...)
	r.Findings = append(r.Findings, r.wait()...)
	return r
}

func (h *History) findings(s maillog.Summary) (out []Finding) {
	if h.waits > 0 {
		out = append(out, found("doctor.log.configuration", "", "%d times", h.waits))
	}
	switch {
	case s.Attempts == 0:
		out = append(out, found("doctor.log.empty", "", "%d lines", s.Lines))
	case s.Connections == 0:
		out = append(out, found("doctor.log.silent", "", "%d deliveries, and no line about a TLS session", s.Attempts))
	case !h.good:
		out = append(out, found("doctor.log.ca", "", "%d TLS sessions", s.Connections))
	}
	if len(h.seen) >= 3 && !h.relays && h.relay != "" {
		out = append(out, found("doctor.log.relay", "", "%d domains by %s", len(h.seen), h.relay))
	}
	return out
}

// wait are findings for the domains whose mail would have waited, the most mail first.
func (r HistoryReport) wait() (out []Finding) {
	for _, d := range r.Listed {
		if d.Waits() == 0 || d.Mode != policy.Enforce.String() {
			continue
		}
		if len(out) == maxWaits {
			break
		}
		out = append(out, found("doctor.log.waits", "starttls-policy explain "+d.Domain+"; ask the domain's administrator, or write an [[override]]",
			"%s: %d of %d deliveries%s", d.Domain, d.Waits(), d.Sent, d.Why()))
	}
	return out
}

// Why says for which reasons mail would have waited; "" when none would.
func (d Destination) Why() string {
	var why []string
	for _, w := range []struct {
		n    int
		what string
	}{{d.Clear, "without TLS"}, {d.Untrusted, "to an untrusted certificate"}, {d.Outside, "to " + strings.Join(d.Hosts, ", ") + ", which the policy does not name"}} {
		if w.n > 0 {
			why = append(why, fmt.Sprintf("%d %s", w.n, w.what))
		}
	}
	if why == nil {
		return ""
	}
	return ": " + strings.Join(why, "; ")
}
