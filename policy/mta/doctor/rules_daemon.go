package doctor

import (
	"net"
	"path/filepath"
	"slices"
	"strings"
)

// sockets are the rules for each socketmap in use. Nobody at its other end means that all mail waits (measured, 3.7).
func sockets(f Facts) (out []Finding) {
	for _, s := range f.Sockets {
		where := s.Entry + " is " + s.Place
		if s.Chrooted {
			where += " for a chrooted smtp"
		}
		switch {
		case s.Missing && s.Elsewhere != "":
			out = append(out, found("doctor.socket.chroot", f.within(s), "%s, where nothing is; %s is out of its reach", where, s.Elsewhere))
		case s.Missing:
			out = append(out, found("doctor.socket.missing", f.start(s), "%s, where nothing is", where))
		case s.Blocked != "":
			out = append(out, found("doctor.socket.permission", "", "%s: %s", where, s.Blocked))
		case s.Silent != "":
			out = append(out, found("doctor.socket.silent", f.start(s), "%s: %s", where, s.Silent))
		case !s.Skipped:
			out = append(out, f.answers(s)...)
		}
	}
	return out
}

// within is the command that names a socket as a chrooted smtp reaches it; "" where it lies outside of the queue directory.
func (f Facts) within(s Socket) string {
	below, err := filepath.Rel(f.Postfix.Params["queue_directory"], s.Elsewhere)
	if err != nil || !filepath.IsLocal(below) {
		return ""
	}
	return f.exchange(s, func(m Map) []Map {
		m.Name = "unix:" + below + ":" + m.MapName()
		return []Map{m}
	})
}

// start is what to do about a socket without anybody behind it.
func (f Facts) start(s Socket) string {
	if slices.ContainsFunc(ParseMaps(s.Entry), f.isDaemon) {
		return "systemctl start starttls-policy.socket starttls-policy.service, or starttls-policy serve"
	}
	if without := f.exchange(s, func(Map) []Map { return nil }); without != "" {
		return "start what should listen there, or: " + without
	}
	return ""
}

// exchange is the command that puts something else in the place of a socket in main.cf; "" when it is not named there.
func (f Facts) exchange(s Socket, by func(Map) []Map) string {
	const name = "smtp_tls_policy_maps"
	all := ParseMaps(f.Postfix.Params[name])
	i := slices.IndexFunc(all, func(m Map) bool { return m.String() == s.Entry })
	if i < 0 {
		return ""
	}
	return postconf(name, join(slices.Replace(all, i, i+1, by(all[i])...)))
}

// answers are the rules for what is said to a name that no list can have, and to a listed one.
func (f Facts) answers(s Socket) (out []Finding) {
	expected := f.Daemon != nil && (slices.Contains(f.Daemon.Listen, s.Place) || slices.Contains(f.Daemon.Listen, "unix:"+s.Place))
	if expected && !s.Ours {
		return []Finding{found("doctor.socket.stranger", "", "%s does not answer as \"starttls-policy serve\" does", s.Place)}
	}
	if a := s.Unlisted; a.Key != "" && a.Reply != "NOTFOUND" {
		out = append(out, found("doctor.socket.answer", "", "%s says %q of %s, which nobody lists", s.Entry, a.Reply, a.Key))
	}
	a := s.Listed
	switch {
	case a.Key == "" || !s.Ours:
	case a.Reply == "NOTFOUND":
		out = append(out, found("doctor.socket.list", "starttls-policy explain "+a.Key+"; the domain's own policy, an [[override]] or an older list in the daemon may be why",
			"%s says NOTFOUND of %s", s.Entry, a.Key))
	case !strings.HasPrefix(a.Reply, "OK "):
		out = append(out, found("doctor.socket.answer", "", "%s says %q of %s", s.Entry, a.Reply, a.Key))
	}
	return out
}

func daemon(f Facts) (out []Finding) {
	for _, l := range f.Daemon.listen() {
		host, _, err := net.SplitHostPort(l)
		if ip := net.ParseIP(host); err == nil && ip != nil && !ip.IsLoopback() {
			out = append(out, found("doctor.socket.public", "", "listen = %q", l))
		}
	}
	return out
}

// resolver are the rules for DNS. DANE takes a resolver that validates, over a way that nobody can tamper with (RFC 7672
// section 2.1, RFC 4035 section 4.9.3).
func resolver(f Facts) (out []Finding) {
	if p := f.Postfix; p != nil && p.ChrootResolver != "" {
		out = append(out, found("doctor.resolver.chroot", "", "%s", p.ChrootResolver))
	}
	dane := f.Daemon != nil && f.Daemon.DANE
	if p := f.Postfix; p != nil {
		dane = dane || slices.ContainsFunc(p.transports(), func(s Service) bool { return strings.HasPrefix(p.level(s), "dane") })
	}
	for _, r := range f.Resolvers {
		out = append(out, r.judge(dane, f.Daemon != nil && f.Daemon.TrustAD)...)
	}
	return out
}

func (r Resolver) judge(dane, believed bool) (out []Finding) {
	if believed && !r.Loopback {
		out = append(out, found("doctor.resolver.remote", "", "the resolver is %s", r.Address))
	}
	switch {
	case r.Failed != "":
		out = append(out, found("doctor.resolver.silent", "", "%s about %s: %s", r.Address, r.Asked, r.Failed))
	case r.Secure:
	case dane:
		out = append(out, found("doctor.resolver.dane", "", "%s gives no AD bit for %s", r.Address, r.Asked))
	default:
		out = append(out, found("doctor.resolver.plain", "", "%s gives no AD bit for %s", r.Address, r.Asked))
	}
	return out
}
