package doctor

import (
	"fmt"
	"slices"
	"strings"
)

// exim are the rules for Exim, as far as "exim -bP" lets us see.
func exim(f Facts) (out []Finding) {
	e := f.Exim
	i := slices.IndexFunc(f.Exports, func(x Export) bool { return x.Format == "exim" })
	switch {
	case e == nil:
		return nil
	case i < 0 && f.Postfix == nil:
		return []Finding{found("doctor.mta.unused", "add an [[export]] with format = \"exim\" and a file to the configuration", "Exim %s is here, and the configuration has no [[export]] for it", e.Version)}
	case i < 0:
		return nil
	}
	if e.Refused != "" {
		return []Finding{found("doctor.exim.unseen", "", "%s", e.Refused)}
	}
	if !slices.Contains(e.Lookups, "cdb") {
		out = append(out, found("doctor.exim.cdb", "", "Exim %s has the lookups %s", e.Version, strings.Join(e.Lookups, " ")))
	}
	file := f.Exports[i].File
	ours := slices.IndexFunc(e.Routers, func(r Part) bool { return strings.Contains(r.Options["domains"], file) })
	if ours < 0 {
		return append(out, found("doctor.exim.unused", "", "no router has %s in its \"domains\"", file))
	}
	for _, r := range e.Routers[:ours] {
		if r.Options["driver"] == "dnslookup" || r.Options["driver"] == "manualroute" && r.Options["domains"] == "" {
			out = append(out, found("doctor.exim.router", "move the router "+e.Routers[ours].Name+" in front of "+r.Name,
				"the router %s (%s) comes before %s", r.Name, r.Options["driver"], e.Routers[ours].Name))
			break
		}
	}
	return append(out, e.transport(e.Routers[ours].Options["transport"], file)...)
}

// transport compares the options that make a policy of a transport.
func (e *Exim) transport(name, file string) []Finding {
	i := slices.IndexFunc(e.Transports, func(t Part) bool { return t.Name == name })
	if i < 0 {
		return []Finding{found("doctor.exim.transport", "", "the router names the transport %q, which is not there", name)}
	}
	var wrong []string
	for _, option := range []string{"hosts_require_tls", "tls_verify_hosts", "tls_verify_cert_hostnames"} {
		if v := e.Transports[i].Options[option]; v != "*" {
			wrong = append(wrong, fmt.Sprintf("%s = %s", option, v))
		}
	}
	if !strings.Contains(e.Transports[i].Options["event_action"], file) {
		wrong = append(wrong, "event_action does not compare MX hosts with "+file)
	}
	if e.Transports[i].Options["connection_max_messages"] != "1" || e.Transports[i].Options["multi_domain"] == "true" {
		wrong = append(wrong, "one connection may carry mail of several domains")
	}
	if wrong == nil {
		return nil
	}
	return []Finding{found("doctor.exim.transport", "", "transport %s: %s", name, strings.Join(wrong, "; "))}
}

// ParseParts reads what "exim -bP routers" or "exim -bP transports" prints:
//
//	lookuphost router:
//	driver = dnslookup
//	no_more
//
// Switches have the value "true", or "false" with "no_" in front.
func ParseParts(text string) (out []Part) {
	for l := range strings.Lines(text) {
		l = strings.TrimSpace(l)
		name, kind, _ := strings.Cut(l, " ")
		if kind == "router:" || kind == "transport:" {
			out = append(out, Part{Name: name, Options: map[string]string{}})
			continue
		}
		if len(out) == 0 || l == "" {
			continue
		}
		options := out[len(out)-1].Options
		if name, value, ok := strings.Cut(l, " ="); ok {
			options[name] = strings.TrimSpace(value)
		} else if name, off := strings.CutPrefix(l, "no_"); off {
			options[name] = "false"
		} else {
			options[l] = "true"
		}
	}
	return out
}
