package doctor

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

const (
	// trustEnds is how long before its end a trust is worth a word: a ceremony takes weeks to bring together.
	trustEnds = 30 * 24 * time.Hour
	// updateOld is four times the usual interval.
	updateOld = 24 * time.Hour
	// clockSlack is what clocks without NTP lose between two updates. Certificates and lists bear it.
	clockSlack = 5 * time.Minute
)

func lists(f Facts) (out []Finding) {
	for _, l := range f.Lists {
		out = append(out, l.state()...)
		out = append(out, l.trust(f.Now)...)
		if l.ClockBehind > clockSlack {
			out = append(out, found("doctor.clock.behind", "", "witnesses and log of list %s have seen a time that is %s ahead of this clock", l.Name, l.ClockBehind.Round(time.Second)))
		}
		if l.Evidence != "" {
			out = append(out, found("doctor.list.evidence", "starttls-policy verify --evidence "+quote(l.Evidence)+", and tell the operator and others who follow the list",
				"list %s: %s", l.Name, l.Evidence))
		}
		if l.Pinned != "" {
			out = append(out, found("doctor.list.pinned", "starttls-policy rollback --undo --list "+l.Name, "list %s: %s", l.Name, l.Pinned))
		}
		if l.Held != "" {
			out = append(out, found("doctor.list.held", fmt.Sprintf("starttls-policy update --list %s --accept %d, if the operator confirms it", l.Name, l.HeldRelease),
				"list %s: %s", l.Name, l.Held))
		}
	}
	return out
}

func (l List) state() []Finding {
	expires := fmt.Sprintf("list %s, release %d: expires %s", l.Name, l.Release, l.Expires.UTC().Format(time.RFC3339))
	one := func(id, format string, args ...any) []Finding { return []Finding{found(id, "", format, args...)} }
	switch {
	case l.Error != "":
		return one("doctor.list.unreadable", "list %s: %s", l.Name, l.Error)
	case l.Damaged != "":
		return one("doctor.list.damaged", "list %s: %s", l.Name, l.Damaged)
	case l.Ended:
		return one("doctor.list.ended", "list %s", l.Name)
	case l.Release == 0:
		return one("doctor.list.none", "list %s", l.Name)
	case l.Freshness == "expired" && l.Kept:
		return one("doctor.list.kept", "%s", expires)
	case l.Freshness == "expired":
		return one("doctor.list.expired", "%s", expires)
	case l.Freshness == "stale":
		return one("doctor.list.stale", "%s", expires)
	}
	return nil
}

func (l List) trust(now time.Time) (out []Finding) {
	if l.TrustVersion == 0 || l.Ended {
		return nil
	}
	until := fmt.Sprintf("list %s: trust version %d, until %s", l.Name, l.TrustVersion, l.TrustExpires.UTC().Format(time.RFC3339))
	switch {
	case l.TrustExpires.IsZero():
	case now.After(l.TrustExpires):
		out = append(out, found("doctor.trust.expired", "", "%s", until))
	case l.TrustExpires.Sub(now) < trustEnds:
		out = append(out, found("doctor.trust.ends", "", "%s", until))
	}
	if !l.Witnessed {
		out = append(out, found("doctor.trust.unwitnessed", "", "list %s: trust version %d asks for no witness", l.Name, l.TrustVersion))
	}
	return out
}

// local is what this machine's administrator said, and the files for other mail servers.
func local(f Facts) (out []Finding) {
	for _, x := range f.Exports {
		if !x.Right {
			out = append(out, found("doctor.export.content", "", "%s", x.State))
		}
	}
	if f.Off != "" {
		out = append(out, found("doctor.disabled", "", "%s", f.Off))
	}
	for _, o := range f.Overrides {
		out = append(out, found("doctor.override.ended", "", "%s", o))
	}
	return out
}

// updates are the rules for whether anybody would notice that a list expires. It needs no network, but somebody to start it.
func updates(f Facts) (out []Finding) {
	u := f.Update
	switch {
	case u.Last.IsZero():
		out = append(out, found("doctor.update.never", "", "%s is not there", filepath.Join(f.State.Path, "update.json")))
	case f.Now.Sub(u.Last) > updateOld:
		out = append(out, found("doctor.update.old", "", "the last one began %s", u.Last.UTC().Format(time.RFC3339)))
	}
	if u.Failed != "" {
		out = append(out, found("doctor.update.failed", "", "%s", u.Failed))
	}
	if !u.Systemd {
		return out
	}
	if len(u.Active) == 0 {
		return append(out, found("doctor.update.unit", "", "none of %s is active", strings.Join(u.Asked, ", ")))
	}
	active := strings.Join(u.Active, " ")
	if f.oursAnswers() && strings.Contains(active, "starttls-policy.service") && !strings.Contains(active, "starttls-policy.socket") {
		out = append(out, found("doctor.update.socket", "", "active: %s", active))
	}
	return out
}

func state(f Facts) (out []Finding) {
	s := f.State
	if s.Missing {
		return []Finding{found("doctor.state.missing", "", "%s", s.Path)}
	}
	if s.Writable != "" {
		out = append(out, found("doctor.state.writable", "chmod go-w "+quote(s.Writable), "%s", s.Writable))
	}
	if len(s.Owners) > 0 {
		out = append(out, found("doctor.state.owner", "chown -R "+s.Owner+" "+quote(s.Path)+"; run starttls-policy update as that user only",
			"%s belongs to %s, but not %s", s.Path, s.Owner, some(s.Owners)))
	}
	if len(s.Left) > 0 {
		out = append(out, found("doctor.state.left", "", "%s", some(s.Left)))
	}
	return out
}

// some names the first few.
func some(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
