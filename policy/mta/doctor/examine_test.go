package doctor

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/policy"
)

var now = time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC)

const ourTable = "/var/lib/starttls-policy/postfix-tls-policy"

// healthy is a Debian machine with Postfix 3.7 and our table, on which nothing is wrong.
func healthy() Facts {
	return Facts{
		Now: now,
		Postfix: &Postfix{
			Version: "3.7.11",
			Params: map[string]string{
				"queue_directory": "/var/spool/postfix", "smtp_tls_policy_maps": "cdb:" + ourTable,
				"smtp_tls_security_level": "may", "smtp_tls_CAfile": "/ca.pem", "tls_append_default_CA": "no",
				"smtp_tls_loglevel": "1", "smtp_tls_mandatory_protocols": ">=TLSv1", "default_transport": "smtp",
			},
			Types: []string{"cdb", "hash", "inline", "socketmap", "texthash"},
			Services: []Service{{Name: "smtp", Chroot: true}, {Name: "relay", Chroot: true,
				Override: map[string]string{"syslog_name": "postfix/relay"}}},
			Files:  map[string]File{"/ca.pem": {Certs: 140}, ourTable + ".cdb": {}},
			Bundle: "/etc/ssl/certs/ca-certificates.crt",
		},
		Table:  &Table{Type: "cdb", Map: ourTable, Dialect: "floor", Right: true},
		Daemon: &Daemon{},
		Lists: []List{{Name: "example", Release: 7, Freshness: "fresh", Expires: now.AddDate(0, 0, 14), TrustVersion: 1,
			TrustExpires: now.AddDate(1, 0, 0), Witnessed: true}},
		State:     State{Path: "/var/lib/starttls-policy", Owner: "starttls-policy"},
		Update:    Update{Last: now.Add(-6 * time.Hour), Systemd: true, Active: []string{"starttls-policy-update.timer"}},
		Resolvers: []Resolver{{Address: "127.0.0.1:53", Loopback: true, Asked: ".", Secure: true}},
	}
}

// withDaemon is the same machine in the other set-up.
func withDaemon() Facts {
	f := healthy()
	f.Table, f.Daemon = nil, &Daemon{Listen: []string{"127.0.0.1:8461"}}
	f.set("smtp_tls_policy_maps", "socketmap:inet:127.0.0.1:8461:floor")
	f.Sockets = []Socket{{Entry: "socketmap:inet:127.0.0.1:8461:floor", Place: "127.0.0.1:8461", Ours: true,
		Unlisted: Answer{"doctor.invalid", "NOTFOUND"}, Listed: Answer{"a.example", "OK secure match=mx.a.example"}}}
	f.Update.Active = []string{"starttls-policy.socket", "starttls-policy.service"}
	return f
}

// withExim is a machine with Exim and our export.
func withExim() Facts {
	f := healthy()
	file := "/var/lib/starttls-policy/exim-tls-policy.cdb"
	f.Postfix, f.Table = nil, nil
	f.Exports = []Export{{Format: "exim", File: file, Right: true}}
	f.Exim = &Exim{Version: "4.96", Lookups: []string{"lsearch", "cdb"},
		Routers: []Part{
			{"hubbed", map[string]string{"driver": "manualroute", "domains": "+hubs"}},
			{"list", map[string]string{"driver": "dnslookup", "domains": "cdb;" + file, "transport": "safe"}},
			{"others", map[string]string{"driver": "dnslookup"}},
		},
		Transports: []Part{{"safe", map[string]string{"hosts_require_tls": "*", "tls_verify_hosts": "*", "tls_verify_cert_hostnames": "*",
			"event_action": "${lookup{$domain}cdb{" + file + "}}", "connection_max_messages": "1", "multi_domain": "false"}}},
	}
	return f
}

func (f Facts) set(name, value string) { f.Postfix.Params[name] = value }

func (f *Facts) override(name, value string) {
	f.Postfix.Services[1].Override[name] = value
}

// Each fault raises its own finding, and no other; where nothing is wrong nothing is found.
func TestEachFaultIsFoundAlone(t *testing.T) {
	for name, base := range map[string]func() Facts{"table": healthy, "daemon": withDaemon, "exim": withExim} {
		if got := Examine(base()); len(got) > 0 {
			t.Errorf("healthy machine with %s: %+v", name, got)
		}
	}
	for name, c := range rows {
		f := c.base()
		c.spoil(&f)
		got := Examine(f)
		if codes(got) != c.codes {
			t.Errorf("%s: %s, want %s\n%+v", name, codes(got), c.codes, got)
			continue
		}
		if first := got[0]; !strings.Contains(first.Found+"\n"+first.Fix, c.says) || first.Fix == "" || first.Found == "" {
			t.Errorf("%s: %+v does not say %q", name, first, c.says)
		}
	}
}

func codes(findings []Finding) string {
	var out []string
	for _, f := range findings {
		out = append(out, f.Code)
	}
	return strings.Join(out, " ")
}

// What is right in other ways raises nothing.
func TestWhatIsRightInOtherWays(t *testing.T) {
	for name, c := range map[string]row{
		"domains with DANE left out": {base: healthy, spoil: func(f *Facts) {
			f.set("smtp_tls_security_level", "dane")
			f.set("smtp_dns_support_level", "dnssec")
			f.Table.SparesDANE = true
		}},
		"own table in front": {base: healthy, spoil: func(f *Facts) {
			f.set("smtp_tls_policy_maps", "hash:/mine, proxy:cdb:"+ourTable+" socketmap:inet:127.0.0.1:8642:QUERY")
		}},
		"inline in front":        {base: healthy, spoil: func(f *Facts) { f.set("smtp_tls_policy_maps", "inline:{ {a.example = may}, b=may } cdb:"+ourTable) }},
		"override with the list": {base: healthy, spoil: func(f *Facts) { f.override("smtp_tls_policy_maps", "inline:{ a=may }, cdb:"+ourTable) }},
		"default ca":             {base: healthy, spoil: func(f *Facts) { f.set("smtp_tls_CAfile", ""); f.set("tls_append_default_CA", "yes") }},
		"ca folder, no chroot": {base: healthy, spoil: func(f *Facts) {
			f.set("smtp_tls_CAfile", "")
			f.set("smtp_tls_CApath", "/c")
			f.Postfix.Files["/c"] = File{Certs: 1}
			f.Postfix.Services = []Service{{Name: "smtp"}}
		}},
		"ca folder in the chroot": {base: healthy, spoil: func(f *Facts) {
			f.set("smtp_tls_CAfile", "")
			f.set("smtp_tls_CApath", "/c")
			f.Postfix.Files["/c"], f.Postfix.Files["/var/spool/postfix/c"] = File{Certs: 1}, File{Certs: 1}
		}},
		"dialect follows":       {base: healthy, spoil: func(f *Facts) { f.Postfix.Version = "3.10.5" }},
		"postconf too old":      {base: healthy, spoil: func(f *Facts) { f.Postfix.Services, f.Postfix.Types = nil, nil }},
		"smtp_use_tls":          {base: healthy, spoil: func(f *Facts) { f.set("smtp_tls_security_level", ""); f.set("smtp_use_tls", "yes") }},
		"no resolver looked at": {base: healthy, spoil: func(f *Facts) { f.Resolvers = nil }},
		"no systemd":            {base: healthy, spoil: func(f *Facts) { f.Update.Systemd, f.Update.Active = false, nil }},
		"sni of the host":       {base: healthy, spoil: func(f *Facts) { f.set("smtp_tls_servername", "mx.example") }},
		"dane behind the daemon": {base: withDaemon, spoil: func(f *Facts) {
			f.Daemon.DANE = true
			f.set("smtp_dns_support_level", "dnssec")
			f.set("smtp_tls_security_level", "dane")
		}},
		"old name by habit": {base: withDaemon, spoil: func(f *Facts) {
			f.Postfix.Version = "3.4.1"
			f.set("smtp_tls_policy_maps", "socketmap:inet:127.0.0.1:8461:QUERY")
			f.Sockets[0].Entry = "socketmap:inet:127.0.0.1:8461:QUERY"
			f.set("smtp_tls_mandatory_protocols", "!SSLv2 !SSLv3 !TLSv1 !TLSv1.1")
		}},
		"reports before 3.10.5": {base: withDaemon, spoil: func(f *Facts) {
			f.Postfix.Version = "3.10.2"
			f.set("smtp_tls_policy_maps", "socketmap:inet:127.0.0.1:8461:tlsrpt")
			f.Sockets[0].Entry = "socketmap:inet:127.0.0.1:8461:tlsrpt"
		}},
		"floor before 3.10.5": {base: withDaemon, spoil: func(f *Facts) { f.Postfix.Version = "3.10.2" }},
		"systemd holds it":    {base: withDaemon, spoil: func(f *Facts) { f.Daemon.Listen = nil }},
		"other behind ours": {base: withDaemon, spoil: func(f *Facts) {
			f.set("smtp_tls_policy_maps", "socketmap:inet:127.0.0.1:8461:floor socketmap:inet:127.0.0.1:8642:QUERY")
		}},
		"not asked": {base: withDaemon, spoil: func(f *Facts) {
			f.Sockets[0].Ours, f.Sockets[0].Skipped, f.Sockets[0].Unlisted, f.Sockets[0].Listed = false, true, Answer{}, Answer{}
		}},
		"not asked, and systemd holds it": {base: withDaemon, spoil: func(f *Facts) {
			f.Table, f.Daemon.Listen = healthy().Table, nil
			f.Sockets[0].Ours, f.Sockets[0].Skipped, f.Sockets[0].Unlisted, f.Sockets[0].Listed = false, true, Answer{}, Answer{}
		}},
		"nothing listed":        {base: withDaemon, spoil: func(f *Facts) { f.Sockets[0].Listed = Answer{} }},
		"clock a little behind": {base: healthy, spoil: func(f *Facts) { f.Lists[0].ClockBehind = time.Minute }},
		"exim beside postfix":   {base: healthy, spoil: func(f *Facts) { f.Exim = withExim().Exim }},
	} {
		f := c.base()
		c.spoil(&f)
		if got := Examine(f); len(got) > 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// Every code has a row above, or a log that raises it; every one says what to do.
func TestEveryCodeIsRaised(t *testing.T) {
	raised := map[string]bool{}
	for _, c := range rows {
		for _, code := range strings.Fields(c.codes) {
			raised[code] = true
		}
	}
	for _, c := range logCases {
		for _, code := range strings.Fields(c.codes) {
			raised[code] = true
		}
	}
	seen := map[string]bool{}
	for _, c := range Codes() {
		if !raised[c.ID] {
			t.Errorf("nothing raises %s", c.ID)
		}
		if seen[c.ID] || c.Summary == "" || c.Fix == "" || !strings.HasPrefix(c.ID, "doctor.") {
			t.Errorf("%+v", c)
		}
		if !slices.Contains([]policy.Severity{policy.Error, policy.Warning, policy.Notice}, c.Severity) {
			t.Errorf("%s: severity %q", c.ID, c.Severity)
		}
		seen[c.ID] = true
	}
	for _, code := range slices.Sorted(maps.Keys(raised)) {
		if !seen[code] {
			t.Errorf("%s is raised and not in the table", code)
		}
	}
	if f := found("doctor.unheard", "", "x"); f.Severity != policy.Error {
		t.Errorf("an unknown code passes as %s", f.Severity)
	}
}

// The order is by severity.
func TestOrder(t *testing.T) {
	f := healthy()
	f.set("smtp_tls_loglevel", "0")
	f.set("relayhost", "[r.example]")
	f.set("smtp_tls_CAfile", "")
	got := Examine(f)
	if codes(got) != "doctor.ca.none doctor.relay.host doctor.loglevel" || !HasErrors(got) || HasErrors(got[1:]) || Count(got, policy.Warning) != 1 {
		t.Errorf("%s", codes(got))
	}
}
