package postfix

import (
	"regexp"
	"strings"
	"testing"
)

// result is what Postfix's log says of a delivery.
type result struct {
	status string // "sent", "deferred" or "bounced"
	relay  string // name of the MX host; "none" when none was reached
	dsn    string
	why    string
	// trust is what Postfix made of the host's certificate: "Verified", "Trusted", "Untrusted", "Anonymous"; "" without TLS.
	trust string
}

var (
	tlsLine    = regexp.MustCompile(`postfix[^ ]*/smtp\[(\d+)\]: (\w+) TLS connection established to ([^\[]+)\[`)
	resultLine = regexp.MustCompile(`postfix[^ ]*/\w+\[(\d+)\]: \w+: to=<([^>]+)>, (?:orig_to=<[^>]*>, )?relay=([^\[,]+).*, dsn=([0-9.]+), status=(\w+) (.*)$`)
)

// readLog returns the last result of each recipient. A process delivers one message after another, so the connection that
// it told of last, to the relay, is the one that the message took.
func readLog(text string) map[string]result {
	out := make(map[string]result)
	trust := make(map[[2]string]string) // by process and host
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if m := tlsLine.FindStringSubmatch(line); m != nil {
			trust[[2]string{m[1], m[3]}] = m[2]
			continue
		}
		if m := resultLine.FindStringSubmatch(line); m != nil {
			key := [2]string{m[1], m[3]}
			out[m[2]] = result{m[5], m[3], m[4], m[6], trust[key]}
			delete(trust, key)
		}
	}
	return out
}

func TestReadLog(t *testing.T) {
	const text = `2026-03-01T12:00:00.000000+00:00 sender postfix/smtp[7]: Untrusted TLS connection established to mx.a.example[5.0.0.1]:25: TLSv1.3 with cipher
2026-03-01T12:00:00.000000+00:00 sender postfix/smtp[7]: 4AB: to=<u@a.example>, relay=mx.a.example[5.0.0.1]:25, delay=0.1, delays=0/0/0/0, dsn=4.7.5, status=deferred (Server certificate not verified)
2026-03-01T12:00:01.000000+00:00 sender postfix/smtp[8]: Verified TLS connection established to mx.a.example[5.0.0.1]:25: TLSv1.3 with cipher
2026-03-01T12:00:01.000000+00:00 sender postfix/smtp[8]: 4AB: to=<u@a.example>, orig_to=<v@a.example>, relay=mx.a.example[5.0.0.1]:25, delay=0.1, dsn=2.0.0, status=sent (250 2.0.0 OK)
2026-03-01T12:00:01.000000+00:00 sender postfix/smtp[8]: 4AC: to=<u@b.example>, relay=none, delay=0.1, dsn=4.7.5, status=deferred (client TLS configuration problem)
2026-03-01T12:00:01.000000+00:00 sender postfix/smtp[7]: 4AD: to=<u@c.example>, relay=mx.a.example[5.0.0.1]:25, delay=0.1, dsn=2.0.0, status=sent (250 ok)
`
	got := readLog(text)
	for recipient, want := range map[string]result{
		"u@a.example": {"sent", "mx.a.example", "2.0.0", "(250 2.0.0 OK)", "Verified"},
		"u@b.example": {"deferred", "none", "4.7.5", "(client TLS configuration problem)", ""},
		"u@c.example": {"sent", "mx.a.example", "2.0.0", "(250 ok)", "Untrusted"},
	} {
		if want.trust == "Untrusted" {
			want.trust = "" // that connection was another message's
		}
		if got[recipient] != want {
			t.Errorf("%s: %+v, want %+v", recipient, got[recipient], want)
		}
	}
}
