package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/policy/mta"
)

// dialect is the newest that this Postfix understands, "legacy" where the version is not one.
func (p *Postfix) dialect() mta.Dialect {
	d, _ := mta.DialectOf(p.Version)
	return d
}

// tooNew reports whether Postfix would not know an attribute. From 3.10.0 to 3.10.4 it knew those of tlsrpt, for reports.
func (p *Postfix) tooNew(has mta.Dialect) bool {
	return has > p.dialect() && (has != mta.TLSRPT || !strings.HasPrefix(p.Version, "3.10."))
}

// dialects compares what is told with what is understood.
func dialects(f Facts) (out []Finding) {
	if f.Postfix == nil {
		return nil
	}
	knows := f.Postfix.dialect()
	if t := f.Table; t != nil {
		has, fix := t.dialect(), "say dialect = \"auto\" in [postfix], and run starttls-policy update"
		switch where := fmt.Sprintf("the table has %s, Postfix %s understands %s", t.Dialect, f.Postfix.Version, knows); {
		case f.Postfix.tooNew(has):
			out = append(out, found("doctor.dialect.new", fix, "%s", where))
		case has < knows && t.Fixed:
			out = append(out, found("doctor.dialect.old", fix, "%s", where))
		}
	}
	const name = "smtp_tls_policy_maps"
	all := ParseMaps(f.Postfix.Params[name])
	for i, m := range all {
		if !f.isDaemon(m) {
			continue
		}
		has, ok := mta.MapDialect(m.MapName())
		if ok && has >= knows && !f.Postfix.tooNew(has) {
			continue
		}
		better := slices.Clone(all)
		better[i].Name = strings.TrimSuffix(m.Name, m.MapName()) + knows.String()
		code := "doctor.dialect.old"
		if f.Postfix.tooNew(has) {
			code = "doctor.dialect.new"
		}
		out = append(out, found(code, postconf(name, join(better)), "%s, but Postfix %s understands %s", m, f.Postfix.Version, knows))
	}
	return out
}

// dialect is that of the table's lines.
func (t *Table) dialect() mta.Dialect {
	d, _ := mta.ParseDialect(t.Dialect)
	return d
}

// told is the least that is said in a line or an answer: what it leaves out, main.cf decides. ok is false where nothing of
// ours is in use.
func (f Facts) told() (least mta.Dialect, ok bool) {
	for _, m := range ParseMaps(f.Postfix.Params["smtp_tls_policy_maps"]) {
		var has mta.Dialect
		switch {
		case f.isTable(m):
			has = f.Table.dialect()
		case f.isDaemon(m):
			has, _ = mta.MapDialect(m.MapName())
		default:
			continue
		}
		if !ok || has < least {
			least, ok = has, true
		}
	}
	return least, ok
}
