package probe

import (
	"fmt"
	"time"
)

// fault names the code for a session that did not reach a TLS session, "" for one that did. detail is what was seen.
func (j *judge) fault(s Session) (id, detail string) {
	if s.Stage == StageTLS {
		return tlsFault(s), s.Detail
	}
	switch s.Failure {
	case FailTimeout:
		return "smtp.timeout", "waiting at " + string(s.Stage)
	case FailClosed:
		return "smtp.closed", "at " + string(s.Stage)
	case FailSyntax:
		return "smtp.malformed", s.Detail
	}
	switch {
	case s.Greeting != nil && s.Greeting.Code != 220:
		return refusal(s.Greeting)
	case s.EHLO != nil && s.EHLO.Code != 250 && unknownCommand(s.EHLO) && s.Greeting.starred():
		return "starttls.stripped", words(s.Greeting)
	case s.EHLO != nil && s.EHLO.Code != 250:
		return ehloRefusal(s.EHLO)
	case s.Stage == StageSTARTTLS && s.Offer == "":
		return "starttls.missing", ""
	case s.Stage == StageSTARTTLS && s.Offer == "masked":
		return "starttls.stripped", ""
	case s.STARTTLS != nil && s.STARTTLS.Code/100 == 4:
		return "starttls.refused-temp", words(s.STARTTLS)
	case s.STARTTLS != nil && unknownCommand(s.STARTTLS):
		return "starttls.blocked", words(s.STARTTLS)
	case s.STARTTLS != nil && s.STARTTLS.Code != 220:
		return "starttls.refused", words(s.STARTTLS)
	case s.Clear != "":
		return "starttls.injection", s.Clear
	case s.TLS == nil || s.Failure != "" || s.Stage != StageDone:
		return "smtp.malformed", "at " + string(s.Stage)
	}
	return "", ""
}

func tlsFault(s Session) string {
	switch s.Failure {
	case FailTimeout, FailClosed:
		return "tls.interrupted"
	case FailNotTLS:
		return "tls.not-tls"
	case FailVersion:
		return "tls.version"
	case FailHandshake:
		return "tls.handshake"
	case FailCertificate:
		return "cert.malformed"
	case FailKey:
		return "cert.key-type"
	}
	return "tls.interrupted"
}

// refusal is a greeting other than 220. Even 5xx is about us, not about the server's TLS: block lists answer so.
func refusal(r *Reply) (id, detail string) {
	switch r.Code / 100 {
	case 4:
		return "smtp.refused-temp", words(r)
	case 5:
		return "smtp.refused-perm", words(r)
	}
	return "smtp.malformed", words(r)
}

// unknownCommand reports whether the reply says that there is no such command (RFC 5321 section 4.2.4).
func unknownCommand(r *Reply) bool { return r.Code == 500 || r.Code == 502 }

// ehloRefusal tells a server that does not know the command (a sender falls back to HELO, which has no STARTTLS) from
// one that does not like our name.
func ehloRefusal(r *Reply) (id, detail string) {
	if unknownCommand(r) {
		return "smtp.no-ehlo", words(r)
	}
	return refusal(r)
}

// words is the first line of a reply.
func words(r *Reply) string {
	if len(r.Lines) == 0 {
		return fmt.Sprint(r.Code)
	}
	return fmt.Sprintf("%d %s", r.Code, r.Lines[0])
}

// certificate judges a completed handshake. Every fault is told, not only the first.
func (j *judge) certificate(at string, s Session) hostState {
	before, t := len(j.codes), s.TLS
	if t.Version != "TLS 1.2" && t.Version != "TLS 1.3" {
		j.add("tls.version", "%s (%s)", at, t.Version)
	}
	switch t.Match {
	case "yes":
	case "none":
		j.add("cert.no-san", "%s", at)
	default:
		j.add("cert.name", "%s (certificate for %s)", at, list(t.Names))
	}
	switch t.Trust {
	case TrustOK:
		if t.Stale > 0 {
			j.add("cert.stale-extra", "%s (%d)", at, t.Stale)
		}
	case TrustSelfSigned:
		j.add("cert.self-signed", "%s", at)
	case TrustIncomplete:
		j.add("cert.chain-incomplete", "%s (%s)", at, t.Detail)
	case TrustExpired:
		j.add("cert.chain-expired", "%s", at)
	default:
		j.add("cert.untrusted", "%s (%s)", at, t.Detail)
	}
	j.validity(at, t)
	for _, id := range j.codes[before:] {
		if effectOf(id).verdict == Fail {
			return hostBad
		}
	}
	return hostGood
}

// validity warns a sixth of the lifetime before the end, at most j.expiry: a certificate for six days would otherwise
// be "expiring" from its first hour.
func (j *judge) validity(at string, t *TLS) {
	from, err1 := time.Parse(timeFormat, t.NotBefore)
	to, err2 := time.Parse(timeFormat, t.NotAfter)
	switch {
	case err1 != nil || err2 != nil:
		j.add("cert.malformed", "%s (validity %s to %s)", at, t.NotBefore, t.NotAfter)
	case j.now.After(to):
		j.add("cert.expired", "%s (since %s)", at, t.NotAfter)
	case j.now.Before(from):
		j.add("cert.not-yet-valid", "%s (from %s)", at, t.NotBefore)
	case j.expiring(t.NotBefore, t.NotAfter):
		j.add("cert.expiring", "%s (on %s)", at, t.NotAfter)
	}
}

// expiring reports whether a certificate with this lifetime is near its end.
func (j *judge) expiring(notBefore, notAfter string) bool {
	from, err1 := time.Parse(timeFormat, notBefore)
	to, err2 := time.Parse(timeFormat, notAfter)
	return err1 == nil && err2 == nil && to.Sub(j.now) < min(j.expiry, to.Sub(from)/6)
}

func list(names []string) string {
	switch len(names) {
	case 0:
		return "nobody"
	case 1:
		return names[0]
	}
	return fmt.Sprintf("%s and %d more", names[0], len(names)-1)
}
