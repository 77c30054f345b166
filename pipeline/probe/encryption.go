package probe

import (
	"slices"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

// Encryption counts, for statistics, what a sender meets at the addresses of a domain's MX hosts. Machines behind one
// address that show different things count each.
type Encryption struct {
	Verified   int // TLS, with a certificate that a sender who verifies by PKIX takes
	Unverified int // TLS, with a certificate that it does not take
	Clear      int // as a fact, no TLS comes about
	Unknown    int // the server turned us away, kept silent, or its lookup failed
	Silent     int // nobody accepts connections, as far as this vantage can tell
	// Oldest is the lowest TLS version among the best that each server speaks, "TLS 1.2"; "" where none came to TLS.
	Oldest string
}

// Encryption judges the record's sessions anew, at the time at which it was made.
func (r Record) Encryption() (Encryption, error) {
	at, err := policy.ParseTime(r.At)
	if err != nil {
		return Encryption{}, err
	}
	e := encryptionCount{judge: &judge{now: at}, late: slices.Contains(r.Codes, "starttls.refused-long")}
	if r.Observed.OptedOut > 0 || discovery.RouteKind(r.Observed.Route) == discovery.RouteUnknown {
		e.Unknown++
	}
	for _, h := range r.Observed.Hosts {
		e.host(h)
	}
	return e.Encryption, nil
}

// encryptionCount is an Encryption while it is counted.
type encryptionCount struct {
	Encryption
	judge *judge
	late  bool // a server that refuses STARTTLS for now has done so for days
}

func (e *encryptionCount) host(h Host) {
	broken := slices.ContainsFunc(h.Lookups, func(l Lookup) bool { return l.Bogus > 0 || !discovery.Status(l.Status).Known() })
	omitted := len(h.Sessions) == 0 && slices.ContainsFunc(h.Lookups, func(l Lookup) bool { return len(l.Records) > 0 })
	if broken || omitted {
		e.Unknown++
	}
	for _, s := range h.Sessions {
		known := e.session(s)
		for _, x := range s.Samples {
			// What a session without SNI shows is not for those who ask by name, and who is turned away once was not always.
			if x.Kind != sampleBare && known {
				e.sample(x.session(s.Address))
			}
		}
	}
}

// sample counts a further session that says something.
func (e *encryptionCount) sample(s Session) {
	further := encryptionCount{judge: e.judge, late: e.late, Encryption: Encryption{Oldest: e.Oldest}}
	if !further.session(s) {
		return
	}
	e.Verified += further.Verified
	e.Unverified += further.Unverified
	e.Clear += further.Clear
	e.Oldest = further.Oldest
}

// session counts one, and reports whether it says anything about the server's TLS.
func (e *encryptionCount) session(s Session) (known bool) {
	switch s.Failure {
	case FailForbidden:
		return false // nobody can reach it
	case FailUnreachable, FailNoRoute:
		e.Silent++
		return false
	case FailNoName, FailOptedOut:
		e.Unknown++
		return false
	}
	switch id, _ := e.judge.fault(s); {
	case id == "" && e.judge.certified(s.TLS):
		e.Verified++
	case id == "", id == "cert.malformed", id == "cert.key-type":
		e.Unverified++
	case effectOf(id).verdict == Fail, id == "starttls.refused-temp" && e.late:
		e.Clear++
	default:
		e.Unknown++
		return false
	}
	if s.TLS != nil && (e.Oldest == "" || s.TLS.Version < e.Oldest) { // "TLS 1.0" to "TLS 1.3"
		e.Oldest = s.TLS.Version
	}
	return true
}

// certified reports whether a sender who verifies by PKIX takes the certificate, whatever it thinks of the TLS version.
func (j *judge) certified(t *TLS) bool { return t.Match == "yes" && t.Trust == TrustOK && j.inTime(t) }
