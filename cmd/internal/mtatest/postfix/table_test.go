package postfix

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/policy/mta"
)

// destination is a domain of the lab and of the list, and what becomes of mail to it.
type destination struct {
	domain string
	mode   string   // in the list; "" for a domain that is not listed
	mxs    []string // in the list
	hosts  []host   // in the DNS, in order of preference
	rcpt   string   // "" stands for u@domain
	// want is "Verified", "Trusted", "Untrusted" or "clear" for mail that is delivered that way, to the last of the hosts;
	// else a part of the reason for which it waits.
	want string
	// exact is wanted instead by a Postfix that is told exactly the hosts that a pattern allows. Without it, a pattern means
	// any number of labels, which is wider than the list.
	exact string
}

// host is an MX host and how it behaves.
type host struct {
	name      string
	behaviour lab.Behaviour
}

func (d destination) recipient() string {
	if d.rcpt != "" {
		return d.rcpt
	}
	return "u@" + d.domain
}

// last is the MX host that mail is to arrive at.
func (d destination) last() string { return d.hosts[len(d.hosts)-1].name }

// waits reports whether mail is deferred.
func (d destination) waits() bool {
	return !delivered(d.want)
}

// delivered reports whether a destination's want says that mail arrives.
func delivered(want string) bool {
	return slices.Contains([]string{"Verified", "Trusted", "Untrusted", "clear"}, want)
}

const (
	notVerified = mta.NotVerified
	notOffered  = "TLS is required, but was not offered by host"
	noHandshake = "Cannot start TLS: handshake failure"
	// By its certificate, or, where mx_host_pattern counts, without a word to any host.
	notNamed = "Server certificate not verified|server unavailable or unable to receive mail"
)

// destinations are what every set-up delivers to.
var destinations = []destination{
	{domain: "good.example", mode: "enforce", mxs: []string{"mx.good.example"}, hosts: []host{{"mx.good.example", lab.Good}}, want: "Verified"},
	// Written by the sender in letters that the list does not have, and in no others, for Postfix keeps what it met first.
	{domain: "shout.example", mode: "enforce", mxs: []string{"mx.shout.example"}, rcpt: "u@Shout.EXAMPLE", hosts: []host{{"mx.shout.example", lab.Good}}, want: "Verified"},
	{domain: "loud.example", mode: "enforce", mxs: []string{"mx.loud.example"}, rcpt: "u@LOUD.Example", hosts: []host{{"mx.loud.example", lab.Stripped}}, want: notOffered},
	{domain: "sni.example", mode: "enforce", mxs: []string{"mx.sni.example"}, hosts: []host{{"mx.sni.example", lab.OnlySNI}}, want: "Verified"},
	{domain: "suffix.example", mode: "enforce", mxs: []string{".mail.suffix.example"}, hosts: []host{{"a.mail.suffix.example", lab.Good}}, want: "Verified"},
	// Not listed: as if there were no list.
	{domain: "free.example", hosts: []host{{"mx.free.example", lab.Good}}, want: "Trusted"},
	{domain: "clear.example", hosts: []host{{"mx.clear.example", lab.NoStartTLS}}, want: "clear"},
	{domain: "sub.good.example", hosts: []host{{"mx.sub.good.example", lab.WrongName}}, want: "Trusted"}, // a policy is for one name
	// Testing asks for nothing.
	{domain: "trial.example", mode: "testing", mxs: []string{"mx.trial.example"}, hosts: []host{{"mx.trial.example", lab.SelfSigned}}, want: "Untrusted"},
	// A policy is the domain's, not its host's.
	{domain: "hosted-a.example", mode: "enforce", mxs: []string{"mx.hosted-a.example"}, hosts: []host{{"mx.shared.example", lab.Good}}, want: notNamed},
	{domain: "hosted-b.example", hosts: []host{{"mx.shared.example", lab.Good}}, want: "Trusted"},
	// Forged MX records: the thief has a certificate of a trusted CA for the name that he brings.
	{domain: "forged.example", mode: "enforce", mxs: []string{"mx.forged.example"}, hosts: []host{{"mx.thief.example", lab.Good}}, want: notNamed},
	{domain: "first.example", mode: "enforce", mxs: []string{"mx.first.example"},
		hosts: []host{{"mx.thief.example", lab.Good}, {"mx.first.example", lab.Good}}, want: "Verified"},
	// Downgrades.
	{domain: "stripped.example", mode: "enforce", mxs: []string{"mx.stripped.example"}, hosts: []host{{"mx.stripped.example", lab.Stripped}}, want: notOffered},
	{domain: "blanked.example", mode: "enforce", mxs: []string{"mx.blanked.example"}, hosts: []host{{"mx.blanked.example", lab.Blanked}}, want: notOffered},
	{domain: "refused.example", mode: "enforce", mxs: []string{"mx.refused.example"}, hosts: []host{{"mx.refused.example", lab.StartTLS454}}, want: "454 4.7.0 TLS not available"},
	{domain: "old.example", mode: "enforce", mxs: []string{"mx.old.example"}, hosts: []host{{"mx.old.example", lab.TLS11Only}}, want: noHandshake},
	// Certificates.
	{domain: "wrong.example", mode: "enforce", mxs: []string{"mx.wrong.example"}, hosts: []host{{"mx.wrong.example", lab.WrongName}}, want: notVerified},
	{domain: "expired.example", mode: "enforce", mxs: []string{"mx.expired.example"}, hosts: []host{{"mx.expired.example", lab.Expired}}, want: notVerified},
	{domain: "selfsigned.example", mode: "enforce", mxs: []string{"mx.selfsigned.example"}, hosts: []host{{"mx.selfsigned.example", lab.SelfSigned}}, want: notVerified},
	{domain: "stranger.example", mode: "enforce", mxs: []string{"mx.stranger.example"}, hosts: []host{{"mx.stranger.example", lab.UnknownCA}}, want: notVerified},
	// One label too many: in the name of the certificate, and in that of the host.
	{domain: "deep.example", mode: "enforce", mxs: []string{".mail.deep.example"}, hosts: []host{{"a.mail.deep.example", lab.WrongName}},
		want: "Verified", exact: notVerified},
	{domain: "tall.example", mode: "enforce", mxs: []string{".mail.tall.example"}, hosts: []host{{"b.a.mail.tall.example", lab.Good}},
		want: "Verified", exact: notNamed},
}

// fragment is the list's source.
func fragment(destinations []destination) string {
	type entry struct {
		Mode string   `json:"mode"`
		MXs  []string `json:"mxs"`
	}
	entries := make(map[string]entry)
	for _, d := range destinations {
		if d.mode != "" {
			entries[d.domain] = entry{d.mode, d.mxs}
		}
	}
	text, err := json.Marshal(map[string]any{"policies": entries})
	if err != nil {
		panic(err)
	}
	return string(text)
}

// exact is what becomes of mail where patterns mean one label.
func exact(destinations []destination) []destination {
	out := slices.Clone(destinations)
	for i, d := range out {
		if d.exact != "" {
			out[i].want = d.exact
		}
	}
	return out
}

// settle puts the destinations into the server's lab.
func (s *server) settle(destinations []destination) {
	s.t.Helper()
	stands := make(map[string]bool)
	for _, d := range destinations {
		var mx []string
		for _, h := range d.hosts {
			mx = append(mx, h.name)
			if !stands[h.name] {
				stands[h.name] = true
				s.must(s.lab.AddHost(lab.Host{Name: h.name, Behaviour: h.behaviour}))
			}
		}
		s.must(s.lab.AddDomain(lab.Domain{Name: strings.ToLower(d.domain), MX: mx}))
	}
}

func (s *server) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// check compares what Postfix's log and the lab say with what is wanted of a destination.
func (s *server) check(d destination, got result) {
	s.t.Helper()
	last := d.last()
	switch {
	case delivered(d.want):
		trust := strings.TrimPrefix(d.want, "clear")
		if got.status != "sent" || got.trust != trust || got.relay != last {
			s.t.Errorf("%s: %+v, want it delivered to %s: %s", d.recipient(), got, last, d.want)
		}
		if n := s.arrived(last, d.recipient(), trust != ""); n != 1 {
			s.t.Errorf("%s: %s got it %d times", d.recipient(), last, n)
		}
	default:
		matched := false
		for reason := range strings.SplitSeq(d.want, "|") {
			matched = matched || strings.Contains(got.why, reason)
		}
		if got.status != "deferred" || !strings.HasPrefix(got.dsn, "4.") || !matched {
			s.t.Errorf("%s: %+v, want it to wait: %s", d.recipient(), got, d.want)
		}
		s.silent(d)
	}
}

// arrived counts a recipient's messages at a host, over TLS or in clear.
func (s *server) arrived(name, recipient string, encrypted bool) int {
	s.t.Helper()
	mail, err := s.lab.Mail(name)
	s.must(err)
	n := 0
	for _, m := range mail {
		if len(m.To) == 1 && m.To[0] == recipient && m.TLS == encrypted && strings.Contains(string(m.Data), "for "+recipient) {
			n++
		}
	}
	return n
}

// silent makes sure that no host heard of the recipient, encrypted or not.
func (s *server) silent(d destination) {
	s.t.Helper()
	for _, h := range d.hosts {
		heard, err := s.lab.Heard(h.name)
		s.must(err)
		for _, c := range heard {
			if strings.EqualFold(c.Address, d.recipient()) {
				s.t.Errorf("%s: %s heard %+v", d.recipient(), h.name, c)
			}
		}
	}
}
