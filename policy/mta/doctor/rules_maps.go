package doctor

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// isTable reports whether m is our table, under whichever type.
func (f Facts) isTable(m Map) bool {
	return f.Table != nil && filepath.Clean(m.Name) == f.Table.Map && m.Type != "socketmap"
}

// isDaemon reports whether m is our daemon: by what answers there, or by the address that the configuration names. Where
// systemd holds the socket the configuration may name none; then a socket that tells nothing counts as ours.
func (f Facts) isDaemon(m Map) bool {
	if f.Daemon == nil || m.Type != "socketmap" {
		return false
	}
	if network, address, ok := m.Socket(); ok && network == "tcp" && slices.Contains(f.Daemon.Listen, address) {
		return true
	}
	for _, s := range f.Sockets {
		if s.Entry != m.String() {
			continue
		}
		mute := s.Missing || s.Blocked != "" || s.Silent != "" || s.Skipped
		if s.Ours || slices.Contains(f.Daemon.Listen, "unix:"+s.Place) || slices.Contains(f.Daemon.Listen, "unix:"+s.Elsewhere) || mute && len(f.Daemon.Listen) == 0 && f.Table == nil {
			return true
		}
	}
	return false
}

// uses reports what of ours a row of maps has.
func (f Facts) uses(all []Map) (table, daemon bool) {
	return slices.ContainsFunc(all, f.isTable), slices.ContainsFunc(all, f.isDaemon)
}

// wanted is the entry that belongs into main.cf; "" when the configuration does not say.
func (f Facts) wanted() string {
	switch {
	case len(f.Daemon.listen()) > 0 && f.Table == nil:
		network, address, ok := strings.Cut(f.Daemon.Listen[0], "unix:")
		if ok {
			if below, err := filepath.Rel(f.Postfix.Params["queue_directory"], address); err == nil && filepath.IsLocal(below) {
				address = below
			}
			return "socketmap:unix:" + address + ":" + f.Postfix.dialect().String()
		}
		return "socketmap:inet:" + network + ":" + f.Postfix.dialect().String()
	case f.Table != nil:
		return f.Table.Type + ":" + f.Table.Map
	}
	return ""
}

// policyMaps are the rules for smtp_tls_policy_maps of main.cf.
func policyMaps(f Facts) (out []Finding) {
	p := f.Postfix
	if p == nil || f.Table == nil && len(f.Daemon.listen()) == 0 && !f.oursAnswers() {
		return nil
	}
	const name = "smtp_tls_policy_maps"
	all := ParseMaps(p.Params[name])
	table, daemon := f.uses(all)
	rest := slices.DeleteFunc(slices.Clone(all), f.isTable)
	switch wanted := f.wanted(); {
	case !table && !daemon && slices.ContainsFunc(all, f.isUnasked):
	case !table && !daemon:
		out = append(out, found("doctor.map.unused", postconf(name, strings.TrimPrefix(join(all)+", "+wanted, ", ")), "%s = %s", name, p.Params[name]))
	case table && daemon:
		out = append(out, found("doctor.map.mixed", postconf(name, join(rest))+"; or take the socketmap out instead", "%s = %s", name, p.Params[name]))
	case table:
		if i := slices.IndexFunc(all, isSocket); i >= 0 && i < slices.IndexFunc(all, f.isTable) {
			code := "doctor.map.behind"
			if slices.ContainsFunc(all[:slices.IndexFunc(all, f.isTable)], f.isDead) {
				code = "doctor.map.order"
			}
			fix := postconf(name, join(before(rest, wanted)))
			if code == "doctor.map.behind" {
				fix = "nothing, if its word is to come first; else: " + fix
			}
			out = append(out, found(code, fix, "%s = %s", name, p.Params[name]))
		}
	case daemon && slices.IndexFunc(all, isSocket) < slices.IndexFunc(all, f.isDaemon):
		other := all[slices.IndexFunc(all, isSocket)]
		rest = slices.DeleteFunc(slices.Clone(all), func(m Map) bool { return m == other })
		out = append(out, found("doctor.map.consumer", postconf(name, join(rest)), "%s is in front", other))
	}
	if i := slices.IndexFunc(all, f.isTable); i >= 0 && all[i].Type != f.Table.Type {
		all[i].Type = f.Table.Type
		out = append(out, found("doctor.map.content", postconf(name, join(all)),
			"%s names the table as a %s, which nobody keeps: the configuration says %s", name, ParseMaps(p.Params[name])[i].Type, f.Table.Type))
	}
	return out
}

// isUnasked reports whether m is a socket that was not asked who it is, so that it may be ours.
func (f Facts) isUnasked(m Map) bool {
	return slices.ContainsFunc(f.Sockets, func(s Socket) bool { return s.Entry == m.String() && s.Skipped })
}

// isDead reports whether m is a socket at which nobody answers.
func (f Facts) isDead(m Map) bool {
	return slices.ContainsFunc(f.Sockets, func(s Socket) bool {
		return s.Entry == m.String() && (s.Missing || s.Blocked != "" || s.Silent != "")
	})
}

func isSocket(m Map) bool { return m.Type == "socketmap" }

// before puts an entry in front of the first socketmap.
func before(all []Map, entry string) []Map {
	kind, name, _ := strings.Cut(entry, ":")
	i := slices.IndexFunc(all, isSocket)
	if i < 0 {
		i = len(all)
	}
	return slices.Insert(slices.Clone(all), i, Map{Type: kind, Name: name})
}

func join(all []Map) string {
	var out []string
	for _, m := range all {
		out = append(out, m.String())
	}
	return strings.Join(out, ", ")
}

// transports are the rules for transports with maps of their own, and for the maps of all of them.
func transports(f Facts) (out []Finding) {
	p := f.Postfix
	if p == nil {
		return nil
	}
	mainTable, mainDaemon := f.uses(ParseMaps(p.Params["smtp_tls_policy_maps"]))
	for _, s := range p.Services {
		own, has := s.Override["smtp_tls_policy_maps"]
		table, daemon := f.uses(ParseMaps(own))
		if has && (mainTable || mainDaemon) && !table && !daemon {
			out = append(out, found("doctor.map.transport", fmt.Sprintf("postconf -PX %s/unix/smtp_tls_policy_maps && postfix reload", s.Name),
				"%s has -o smtp_tls_policy_maps=%s", s.Name, own))
		}
	}
	seen := map[Map]bool{}
	for _, s := range p.transports() {
		for _, m := range p.Maps(s) {
			if !seen[m] {
				seen[m] = true
				out = append(out, p.entry(m)...)
			}
		}
	}
	return out
}

// transports are those of master.cf, or the one that stands for them where postconf is too old to say.
func (p *Postfix) transports() []Service {
	if len(p.Services) == 0 {
		return []Service{{Name: "smtp"}}
	}
	return p.Services
}

// entry looks at one entry: measured with 3.7, an unknown type or a missing file defers every message.
func (p *Postfix) entry(m Map) []Finding {
	if p.Types != nil && !slices.Contains(p.Types, m.Type) {
		fix := fmt.Sprintf("apt install postfix-%s, or what your system calls it, or name another type", m.Type)
		return []Finding{found("doctor.map.type", fix, "%s; postconf -m names %s", m, strings.Join(p.Types, " "))}
	}
	path, ok := m.File()
	if file, looked := p.Files[path]; ok && looked && file.Missing {
		fix := fmt.Sprintf("postmap %s", quote(m.String()))
		if path == m.Name {
			fix = ""
		}
		return []Finding{found("doctor.map.missing", fix, "%s is not there (%s)", path, m)}
	}
	return nil
}

// tables are the rules for our table's file.
func tables(f Facts) (out []Finding) {
	if f.Table == nil {
		return nil
	}
	if !f.Table.Right {
		out = append(out, found("doctor.map.content", "", "%s:%s %s", f.Table.Type, f.Table.Map, f.Table.State))
	}
	if f.Table.Writable != "" {
		out = append(out, found("doctor.map.writable", "chmod go-w "+quote(f.Table.Writable), "%s", f.Table.Writable))
	}
	return out
}
