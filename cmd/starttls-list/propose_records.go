package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy/proof"
	"github.com/starttls-everywhere/policylist/policy/records"
)

// hostsOf are the MX hosts that came to TLS, with the keys that they showed.
func hostsOf(r probe.Result) (hosts []records.Host) {
	named := map[string][]string{}
	var line probe.Record
	if json.Unmarshal(r.Line, &line) == nil {
		for _, h := range line.Observed.Hosts {
			named[h.Name] = h.Named()
		}
	}
	for _, k := range r.Keys {
		hosts = append(hosts, records.Host{Name: k.Host, Keys: k.SPKI, Matching: named[k.Host.String()]})
	}
	return hosts
}

// records are what the domain publishes for all senders; a domain that leaves has other things to do.
func (p proposed) records() []records.Record {
	if p.Kind != proof.Change {
		return nil
	}
	s := records.Seen{Domain: p.Domain, Route: p.seen.Route, STS: p.seen.STS, TLSRPT: p.detail.tlsrpt}
	for _, h := range p.servers.hosts {
		h.Port = p.port
		for _, d := range p.detail.dane {
			if d.name == h.Name.String() {
				h.DANE = d.DANE
			}
		}
		s.Hosts = append(s.Hosts, h)
	}
	return records.For(s)
}

// printRecords prints them to be copied. What stands there comes from the domain's servers.
func (p proposed) printRecords(w io.Writer) {
	all := p.records()
	if len(all) == 0 {
		return
	}
	fmt.Fprintln(w, "for all senders")
	for _, r := range all {
		fmt.Fprintf(w, "  %s: %s\n", r.Kind, r.State.Words())
		if r.Kind == records.STSPolicy {
			fmt.Fprintf(w, "    %s\n", r.Name)
		}
		for line := range strings.Lines(r.Text()) {
			fmt.Fprintf(w, "    %s\n", term.Escape(strings.TrimSuffix(line, "\n")))
		}
		for _, line := range r.Now {
			fmt.Fprintf(w, "      now: %s\n", term.Escape(line))
		}
		if r.Note != "" {
			fmt.Fprintf(w, "      mind: %s\n", term.Escape(r.Note))
		}
	}
}
