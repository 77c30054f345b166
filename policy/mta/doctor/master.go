package doctor

import (
	"path"
	"strings"
)

// Service is one transport of master.cf that runs smtp(8).
type Service struct {
	Name     string
	Chroot   bool
	Override map[string]string // -o name=value
}

// ParseMaster reads what "postconf -F" and "postconf -x -P" print about master.cf (from 2.11 on): the first one line for
// each field of a service, the second one for each -o.
//
//	smtp/unix/chroot = y
//	relay/unix/smtp_tls_security_level = none
//
// "-" for chroot stands for n, but for y in a Postfix before 3.0, or with a compatibility_level of 0 (master(5)).
func ParseMaster(fields, options, compatibility string) []Service {
	var order []string
	field := map[string]map[string]string{}
	for _, l := range lines(fields) {
		if field[l.key] == nil {
			field[l.key], order = map[string]string{}, append(order, l.key)
		}
		field[l.key][l.name] = l.value
	}
	override := map[string]map[string]string{}
	for _, l := range lines(options) {
		if override[l.key] == nil {
			override[l.key] = map[string]string{}
		}
		override[l.key][l.name] = l.value
	}
	var out []Service
	for _, key := range order {
		command, _, _ := strings.Cut(field[key]["command"], " ")
		if path.Base(command) != "smtp" {
			continue
		}
		chroot := field[key]["chroot"]
		out = append(out, Service{
			Name: field[key]["service"], Chroot: chroot == "y" || chroot == "-" && (compatibility == "0" || compatibility == ""),
			Override: override[key],
		})
	}
	return out
}

// masterLine is "key/name = value", where the key is service/type.
type masterLine struct{ key, name, value string }

func lines(text string) (out []masterLine) {
	for l := range strings.Lines(text) {
		left, value, ok := strings.Cut(strings.TrimSpace(l), " =")
		if slash := strings.LastIndexByte(left, '/'); ok && slash > 0 {
			out = append(out, masterLine{left[:slash], left[slash+1:], strings.TrimSpace(value)})
		}
	}
	return out
}

// ParseParams reads what "postconf -x name…" prints.
func ParseParams(text string) map[string]string {
	out := map[string]string{}
	for l := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSuffix(l, "\n"), " ="); ok {
			out[name] = strings.TrimSpace(value)
		}
	}
	return out
}

// Value is a parameter as a transport has it.
func (p *Postfix) Value(s Service, name string) string {
	if v, ok := s.Override[name]; ok {
		return v
	}
	return p.Params[name]
}

// Maps are those of a transport.
func (p *Postfix) Maps(s Service) []Map { return ParseMaps(p.Value(s, "smtp_tls_policy_maps")) }

// level is smtp_tls_security_level, which overrides the older smtp_enforce_tls and smtp_use_tls.
func (p *Postfix) level(s Service) string {
	switch level := p.Value(s, "smtp_tls_security_level"); {
	case level != "":
		return level
	case p.Value(s, "smtp_enforce_tls") == "yes":
		return "encrypt"
	case p.Value(s, "smtp_use_tls") == "yes":
		return "may"
	}
	return "none"
}

// Settings are the parameters that the rules look at.
var Settings = []string{
	"mail_version", "config_directory", "queue_directory", "mail_owner", "compatibility_level", "smtp_tls_policy_maps",
	"smtp_tls_security_level", "smtp_use_tls", "smtp_enforce_tls", "smtp_dns_support_level", "smtp_tls_CAfile", "smtp_tls_CApath",
	"tls_append_default_CA", "smtp_tls_per_site", "smtp_tls_loglevel", "smtp_tls_mandatory_protocols", "smtp_tls_servername",
	"relayhost", "default_transport", "transport_maps", "sender_dependent_relayhost_maps",
	"sender_dependent_default_transport_maps", "smtp_fallback_relay",
}
