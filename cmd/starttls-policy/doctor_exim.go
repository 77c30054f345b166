package main

import (
	"context"
	"strings"

	"github.com/starttls-everywhere/policylist/policy/mta/doctor"
)

// exim asks Exim about itself. It shows its options to root and its administrators only.
func (l *look) exim(ctx context.Context) {
	path, err := program("exim4")
	if err != nil {
		path, err = program("exim")
	}
	if err != nil {
		return
	}
	e := &doctor.Exim{}
	l.facts.Exim = e
	text, err := command(ctx, path, "-bV")
	if err != nil {
		e.Refused = complaintOf(path+" -bV", err).Error()
		return
	}
	for l := range strings.Lines(text) {
		if version, ok := strings.CutPrefix(l, "Exim version "); ok {
			e.Version, _, _ = strings.Cut(version, " ")
		}
		if lookups, ok := strings.CutPrefix(l, "Lookups (built-in):"); ok {
			e.Lookups = strings.Fields(lookups)
		}
	}
	routers, err := command(ctx, path, "-bP", "routers")
	if err == nil {
		var transports string
		transports, err = command(ctx, path, "-bP", "transports")
		e.Routers, e.Transports = doctor.ParseParts(routers), doctor.ParseParts(transports)
	}
	if err != nil {
		e.Refused = complaintOf(path+" -bP", err).Error()
	} else if len(e.Routers) == 0 {
		e.Refused = path + " -bP routers names none"
	}
}
