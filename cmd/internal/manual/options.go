package manual

import (
	"strings"

	"github.com/spf13/pflag"
)

// collect is what a method such as VisitAll visits.
func collect(visit func(func(*pflag.Flag))) []*pflag.Flag {
	var out []*pflag.Flag
	visit(func(f *pflag.Flag) {
		if !f.Hidden {
			out = append(out, f)
		}
	})
	return out
}

// options writes a section of flags, as help has them: with the kind of their value and with their default.
func options(r *roff, section string, flags []*pflag.Flag) {
	if len(flags) == 0 {
		return
	}
	r.section(section)
	for _, f := range flags {
		term := bold("--" + f.Name)
		if f.Shorthand != "" {
			term = bold("-"+f.Shorthand) + ", " + term
		}
		kind, usage := pflag.UnquoteUsage(f)
		if kind != "" {
			term += " " + italic(strings.TrimSuffix(kind, "Array"))
		}
		r.item(term)
		if d := f.DefValue; d != "" && d != "false" && d != "0" && d != "0s" && d != "[]" {
			usage += " (default " + d + ")"
		}
		r.text(usage)
	}
}
