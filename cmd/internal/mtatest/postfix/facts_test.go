package postfix

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/socketmap"
	"github.com/starttls-everywhere/policylist/pipeline/lab"
)

// fact is what a Postfix does with a value of smtp_tls_policy_maps: the reason for a rule of ours.
type fact struct {
	name  string // of the domain, NAME.example, whose MX is mx.NAME.example and good
	maps  string // smtp_tls_policy_maps; "TABLE" is a table, "DEAD" a socket where nobody listens
	value string // in the table
	want  string // as in destination
	// since is what Postfix 3.10 does, where that is something else.
	since string
}

const (
	badTable = "client TLS configuration problem"
	floor    = " protocols=>=TLSv1.2 ciphers=high"
)

var facts = []fact{
	{name: "none", want: "Trusted"},
	// A dead map stops all mail, behind which no other helps; in front of it, one does.
	{name: "dead", maps: "DEAD", want: badTable},
	{name: "dead-second", maps: "TABLE, DEAD", value: "secure match=mx.dead-second.example", want: "Verified"},
	{name: "dead-first", maps: "DEAD, TABLE", value: "secure match=mx.dead-first.example", want: badTable},
	{name: "dead-unlisted", maps: "TABLE, DEAD", want: badTable},
	// A table of a type that there is not, or that is not there: all mail, listed or not.
	{name: "no-type", maps: "nosuchtype:/etc/postfix/table", want: badTable},
	{name: "no-file", maps: "hash:/etc/postfix/nosuchfile", want: badTable},
	// Attributes that are too new, empty or contradictory.
	{name: "reports", maps: "TABLE", want: badTable, since: "Verified",
		value: "secure match=mx.reports.example servername=hostname policy_type=sts policy_domain=reports.example mx_host_pattern=mx.reports.example"},
	{name: "unknown", maps: "TABLE", value: "secure match=mx.unknown.example nosuchattribute=1", want: badTable},
	{name: "empty", maps: "TABLE", value: "secure match=", want: badTable},
	{name: "dane-match", maps: "TABLE", value: "dane-only match=mx.dane-match.example", want: badTable},
	{name: "twice", maps: "TABLE", value: "secure match=mx.twice.example servername=hostname servername=hostname", want: badTable},
	// Names.
	{name: "dot", maps: "TABLE", value: "secure match=.dot.example servername=hostname protocols=>=TLSv1.2", want: "Verified"},
	{name: "star", maps: "TABLE", value: "secure match=*.star.example", want: notVerified},
	{name: "other", maps: "TABLE", value: "secure match=other.test", want: notVerified},
	{name: "capital", maps: "TABLE", value: "secure match=mx.capital.example" + floor, want: "Verified"},
	// "may" ends the search, and so hides what comes behind it.
	{name: "may-first", maps: "inline:{may-first.example=may}, TABLE", value: "secure match=other.test", want: "Trusted"},
	// Patterns of MX hosts take the star, and a dot for nothing: an outage for whoever writes it.
	{name: "star-pattern", maps: "TABLE", want: badTable, since: "Verified",
		value: "secure match=.star-pattern.example policy_type=sts policy_domain=star-pattern.example mx_host_pattern=*.star-pattern.example"},
	{name: "dot-pattern", maps: "TABLE", want: badTable, since: notNamed,
		value: "secure match=.dot-pattern.example policy_type=sts policy_domain=dot-pattern.example mx_host_pattern=.dot-pattern.example"},
	{name: "two-labels", maps: "TABLE", want: badTable, since: notNamed,
		value: "secure match=.example policy_type=sts policy_domain=two-labels.example mx_host_pattern=*.example"},
	// Kinds of policies and failures for reports.
	{name: "no-policy", maps: "TABLE", want: badTable, since: "Trusted", value: "may policy_type=no-policy-found policy_domain=no-policy.example"},
	{name: "kind", maps: "TABLE", want: badTable, value: "secure match=mx.kind.example policy_type=list policy_domain=kind.example"},
	{name: "failure", maps: "TABLE", want: badTable, since: notVerified, // whatever the certificate
		value: "secure match=mx.failure.example policy_type=sts policy_domain=failure.example mx_host_pattern=mx.failure.example policy_failure=sts-policy-fetch-error"},
}

// TestFacts measures what the rules rest on, with a transport for each fact, and one message.
func TestFacts(t *testing.T) {
	t.Parallel()
	for _, v := range versions {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, v)
			var all []destination
			var table, master, transports strings.Builder
			for _, f := range facts {
				d := destination{domain: f.name + ".example", hosts: []host{{"mx." + f.name + ".example", lab.Good}}, want: f.want}
				if f.name == "capital" {
					d.rcpt = "u@Capital.Example"
				}
				if v.patterns && f.since != "" {
					d.want = f.since
				}
				all = append(all, d)
				if f.value != "" {
					fmt.Fprintf(&table, "%s %s\n", d.domain, f.value)
				}
				maps := strings.NewReplacer("TABLE", "texthash:/etc/postfix/table", "DEAD", "socketmap:inet:127.0.0.1:1:floor").Replace(f.maps)
				fmt.Fprintf(&master, "%s unix - - n - - smtp -o { smtp_tls_policy_maps = %s }\n", f.name, maps)
				fmt.Fprintf(&transports, "%s %s:\n", d.domain, f.name)
			}
			s.Write("/etc/postfix/table", table.String(), 0o644)
			s.Write("/etc/postfix/transports", transports.String(), 0o644)
			s.Write("/etc/postfix/master.cf", s.Read("/etc/postfix/master.cf")+master.String(), 0o644)
			s.settle(all)
			s.StartPostfix("transport_maps = texthash:/etc/postfix/transports\nsmtp_tls_CAfile = /etc/ssl/certs/ca-certificates.crt\nsmtp_tls_security_level = may\n")
			s.deliver(all, false)
		})
	}
}

// asked is what a Postfix asks a socketmap server, in order.
type asked struct{ keys chan string }

// Answer implements socketmap.Answerer: nothing is found.
func (a asked) Answer(_ context.Context, mapName, key string) socketmap.Reply {
	a.keys <- mapName + " " + key
	return socketmap.Reply{}
}

// TestKeys: the recipient's domain as it was typed, then each domain above it with a dot; a next hop in brackets as it is
// written, once; never the MX host.
func TestKeys(t *testing.T) {
	t.Parallel()
	for _, v := range versions {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, v)
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			s.must(err)
			a := asked{make(chan string, 100)}
			served := make(chan error, 1)
			go func() {
				served <- (&socketmap.Server{Answerer: a, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}).Serve(t.Context(), listener)
			}()
			t.Cleanup(func() { listener.Close(); <-served })
			destinations := []destination{
				{domain: "u.a.example", rcpt: "u@U.A.Example", hosts: []host{{"mx.u.a.example", lab.Good}}, want: "Trusted"},
				{domain: "relayed.example", hosts: []host{{"mx.u.a.example", lab.Good}}, want: "Trusted"},
			}
			s.settle(destinations)
			s.Write("/etc/postfix/transports", "relayed.example smtp:[mx.u.a.example]:25\n", 0o644)
			s.StartPostfix("transport_maps = texthash:/etc/postfix/transports\nsmtp_tls_CAfile = /etc/ssl/certs/ca-certificates.crt\n" +
				"smtp_tls_security_level = may\nsmtp_tls_policy_maps = socketmap:inet:" + listener.Addr().String() + ":name\n")
			for i, want := range []string{"name U.A.Example|name .A.Example|name .Example", "name [mx.u.a.example]:25"} {
				s.deliver(destinations[i:i+1], false)
				var got []string
				for len(a.keys) > 0 {
					got = append(got, <-a.keys)
				}
				if strings.Join(got, "|") != want {
					t.Errorf("asked %q, want %q", got, want)
				}
			}
		})
	}
}
