package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/policy/mta"
)

// Dialects by what they need: the place in dialectNames. The daemon knows those of other programs, too.
var (
	dialectNames = []string{"legacy", "sni", "floor", "tlsrpt"}
	mapDialects  = map[string]int{"legacy": 0, "sni": 1, "floor": 2, "tlsrpt": 3, "QUERY": 1, "QUERYwithTLSRPT": 3, "postfix": 1}
)

// dialect is the newest that this Postfix understands, "legacy" where the version is not one.
func (p *Postfix) dialect() int {
	d, _ := mta.DialectOf(p.Version)
	return slices.Index(dialectNames, d.String())
}

// tooNew reports whether Postfix would not know an attribute. From 3.10.0 to 3.10.4 it knew those of tlsrpt, for reports.
func (p *Postfix) tooNew(has int) bool {
	return has > p.dialect() && (dialectNames[has] != mta.TLSRPT.String() || !strings.HasPrefix(p.Version, "3.10."))
}

// dialects compares what is told with what is understood.
func dialects(f Facts) (out []Finding) {
	if f.Postfix == nil {
		return nil
	}
	knows := f.Postfix.dialect()
	if t := f.Table; t != nil {
		has, fix := slices.Index(dialectNames, t.Dialect), "say dialect = \"auto\" in [postfix], and run starttls-policy update"
		switch where := fmt.Sprintf("the table has %s, Postfix %s understands %s", t.Dialect, f.Postfix.Version, dialectNames[knows]); {
		case has >= 0 && f.Postfix.tooNew(has):
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
		has, ok := mapDialects[m.MapName()]
		if ok && has >= knows && !f.Postfix.tooNew(has) {
			continue
		}
		better := slices.Clone(all)
		better[i].Name = strings.TrimSuffix(m.Name, m.MapName()) + dialectNames[knows]
		code := "doctor.dialect.old"
		if f.Postfix.tooNew(has) {
			code = "doctor.dialect.new"
		}
		out = append(out, found(code, postconf(name, join(better)), "%s, but Postfix %s understands %s", m, f.Postfix.Version, dialectNames[knows]))
	}
	return out
}

// told is the least that is said in a line or an answer: what it leaves out, main.cf decides. -1 where nothing of ours is
// in use.
func (f Facts) told() int {
	least := -1
	for _, m := range ParseMaps(f.Postfix.Params["smtp_tls_policy_maps"]) {
		has := -1
		switch {
		case f.isTable(m):
			has = slices.Index(dialectNames, f.Table.Dialect)
		case f.isDaemon(m):
			has = mapDialects[m.MapName()]
		default:
			continue
		}
		if least < 0 || has < least {
			least = has
		}
	}
	return least
}
