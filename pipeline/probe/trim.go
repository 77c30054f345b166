package probe

// trimAbove is how long a line of evidence may be before its observation is cut down to what the judgement needs. Honest
// domains stay far below it; a hostile one with 64 addresses could fill megabytes with what its servers say.
const trimAbove = 128 << 10

// trimmed is the observation with all texts of the sessions as short as those of samples, and of chains of aliases the
// first. It judges the same.
func (o Observation) trimmed() Observation {
	hosts := make([]Host, len(o.Hosts))
	for i, h := range o.Hosts {
		h.Lookups, h.Sessions = trimLookups(h.Lookups), trimSessions(h.Sessions)
		if h.DANE != nil {
			d := *h.DANE
			d.Lookups, d.Sessions = trimLookups(d.Lookups), trimSessions(d.Sessions)
			h.DANE = &d
		}
		hosts[i] = h
	}
	o.Hosts = hosts
	return o
}

// trimLookups keeps the first CNAME of each chain.
func trimLookups(lookups []Lookup) []Lookup {
	out := append([]Lookup(nil), lookups...)
	for i, l := range out {
		out[i].CNAME = l.CNAME[:min(1, len(l.CNAME))]
	}
	return out
}

func trimSessions(sessions []Session) []Session {
	if sessions == nil {
		return nil
	}
	out := make([]Session, len(sessions))
	for i, s := range sessions {
		out[i] = s.brief("").session(s.Address)
		out[i].Samples = s.Samples
		if out[i].TLS != nil {
			out[i].TLS.Keys = s.TLS.Keys
		}
	}
	return out
}
