package doctor

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/policy/mta"
)

// group collects transports by what was found at them, in order of appearance.
type group struct {
	keys  []string
	names map[string][]string
}

func (g *group) add(key, name string) {
	if g.names == nil {
		g.names = map[string][]string{}
	}
	if g.names[key] == nil {
		g.keys = append(g.keys, key)
	}
	g.names[key] = append(g.names[key], name)
}

// transportsOf is "transport smtp, relay".
func (g *group) transportsOf(key string) string {
	return "transport " + strings.Join(g.names[key], ", ")
}

// levels are the rules for smtp_tls_security_level (postconf(5)): it is for domains without a policy.
func levels(f Facts) (out []Finding) {
	p := f.Postfix
	if p == nil {
		return nil
	}
	var at, noDNSSEC group
	for _, s := range p.transports() {
		level := p.level(s)
		at.add(level, s.Name)
		_, daemon := f.uses(p.Maps(s))
		asks := level == "dane" || level == "dane-only" || daemon && f.Daemon.DANE
		if asks && p.Value(s, "smtp_dns_support_level") != "dnssec" {
			noDNSSEC.add("smtp_dns_support_level = "+p.Value(s, "smtp_dns_support_level"), s.Name)
		}
	}
	table, _ := f.uses(ParseMaps(p.Params["smtp_tls_policy_maps"]))
	for _, level := range at.keys {
		where := "smtp_tls_security_level = " + level + ", " + at.transportsOf(level)
		switch level {
		case "may":
		case "none":
			out = append(out, found("doctor.level.none", "", "%s", where))
		case "encrypt":
			out = append(out, found("doctor.level.encrypt", "", "%s", where))
		case "dane":
			if table && !f.Table.SparesDANE {
				out = append(out, found("doctor.level.dane", "", "%s", where))
			}
		default:
			out = append(out, found("doctor.level.strict", "", "%s", where))
		}
	}
	for _, key := range noDNSSEC.keys {
		out = append(out, found("doctor.dnssec.off", "", "%s, %s", key, noDNSSEC.transportsOf(key)))
	}
	return out
}

// authorities are the rules for CA certificates. smtp(8) reads smtp_tls_CAfile before it enters the chroot and
// smtp_tls_CApath after it; a CAfile that cannot be loaded switches TLS off (postconf(5), tls_client.c).
func authorities(f Facts) (out []Finding) {
	p := f.Postfix
	if p == nil {
		return nil
	}
	var at group
	for _, s := range p.transports() {
		if code, what := p.authority(s); code != "" {
			at.add(code+" "+what, s.Name)
		}
	}
	for _, key := range at.keys {
		code, what, _ := strings.Cut(key, " ")
		fix := ""
		if p.Bundle != "" {
			fix = postconf("smtp_tls_CAfile", p.Bundle)
		}
		out = append(out, found(code, fix, "%s, %s", what, at.transportsOf(key)))
	}
	return out
}

func (p *Postfix) authority(s Service) (code, what string) {
	file, folder := p.Value(s, "smtp_tls_CAfile"), p.Value(s, "smtp_tls_CApath")
	if file != "" {
		if got, looked := p.Files[file]; looked && (got.Missing || got.Certs == 0) {
			return "doctor.ca.missing", "smtp_tls_CAfile = " + file + " has no certificate"
		}
		return "", ""
	}
	if p.Value(s, "tls_append_default_CA") == "yes" {
		return "", ""
	}
	if folder == "" {
		return "doctor.ca.none", "smtp_tls_CAfile and smtp_tls_CApath are empty, tls_append_default_CA = no"
	}
	if got, looked := p.Files[folder]; looked && (got.Missing || got.Certs == 0) {
		return "doctor.ca.missing", "smtp_tls_CApath = " + folder + " has no certificate under a name such as 5ed36f99.0"
	}
	inside := filepath.Join(p.Params["queue_directory"], folder)
	if got, looked := p.Files[inside]; s.Chroot && looked && (got.Missing || got.Certs == 0) {
		return "doctor.ca.chroot", "smtp_tls_CApath = " + folder + ", and " + inside + " has no certificate"
	}
	return "", ""
}

// protocols are the rules for what a policy leaves to main.cf.
func protocols(f Facts) (out []Finding) {
	p := f.Postfix
	if p == nil {
		return nil
	}
	told, used := f.told()
	if value := p.Params["smtp_tls_mandatory_protocols"]; used && told < mta.Floor && allowsOld(value) {
		out = append(out, found("doctor.protocols", "", "smtp_tls_mandatory_protocols = %s, and the dialect %s says nothing about it", value, told))
	}
	if value := p.Params["smtp_tls_servername"]; used && told == mta.Legacy && value != "" && value != "hostname" {
		out = append(out, found("doctor.sni", "", "smtp_tls_servername = %s", value))
	}
	if value := p.Params["smtp_tls_per_site"]; value != "" && p.Params["smtp_tls_policy_maps"] != "" {
		out = append(out, found("doctor.persite", "", "smtp_tls_per_site = %s", value))
	}
	if p.Params["smtp_tls_loglevel"] == "0" {
		out = append(out, found("doctor.loglevel", "", "smtp_tls_loglevel = 0"))
	}
	return out
}

// versions are OpenSSL's, oldest first, as smtp_tls_mandatory_protocols names them.
var versions = []string{"SSLv2", "SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"}

// allowsOld reports whether a list of protocols lets TLS older than 1.2 pass. Names alone allow, "!" forbids, and from 3.6
// on there are ">=" and "<=" (postconf(5)). Empty means all.
func allowsOld(value string) bool {
	fields := strings.FieldsFunc(value, func(r rune) bool { return strings.ContainsRune(", :\t", r) })
	only, forbidden := map[string]bool{}, map[string]bool{}
	for _, f := range fields {
		switch {
		case strings.HasPrefix(f, "!"):
			forbidden[f[1:]] = true
		case strings.HasPrefix(f, ">="):
			for _, v := range versions[:max(0, slices.Index(versions, f[2:]))] {
				forbidden[v] = true
			}
		case strings.HasPrefix(f, "<="):
			for _, v := range versions[slices.Index(versions, f[2:])+1:] {
				forbidden[v] = true
			}
		default:
			only[f] = true
		}
	}
	return slices.ContainsFunc(versions[2:4], func(v string) bool { return !forbidden[v] && (len(only) == 0 || only[v]) })
}

// relays are the rules for mail that goes to a relay, whose name alone is looked up in the maps (measured: "[host]:25" as it
// is, and never the recipient's domain).
func relays(f Facts) (out []Finding) {
	p := f.Postfix
	if p == nil {
		return nil
	}
	if v := p.Params["relayhost"]; v != "" {
		out = append(out, found("doctor.relay.host", "", "relayhost = %s", v))
	}
	v := p.Params["default_transport"]
	name, hop, _ := strings.Cut(v, ":")
	known := slices.ContainsFunc(p.Services, func(s Service) bool { return s.Name == name })
	if hop != "" || p.Services != nil && !known {
		out = append(out, found("doctor.relay.transport", "", "default_transport = %s", v))
	}
	var may []string
	for _, name := range []string{"transport_maps", "sender_dependent_relayhost_maps", "sender_dependent_default_transport_maps"} {
		if v := p.Params[name]; v != "" {
			may = append(may, name+" = "+v)
		}
	}
	if len(may) > 0 {
		out = append(out, found("doctor.relay.maps", "", "%s", strings.Join(may, "; ")))
	}
	var at group
	for _, s := range p.transports() {
		if v := p.Value(s, "smtp_fallback_relay"); v != "" {
			at.add(v, s.Name)
		}
	}
	for _, v := range at.keys {
		out = append(out, found("doctor.relay.fallback", "", "smtp_fallback_relay = %s, %s", v, at.transportsOf(v)))
	}
	return out
}
