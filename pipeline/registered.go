package pipeline

import (
	"context"
	"errors"
	"io/fs"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline/registration"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/gate"
)

// RegistrationSource gives the file that starttls-list registrations writes; an error that wraps fs.ErrNotExist says that there
// is none yet.
type RegistrationSource func(context.Context) ([]byte, error)

// maxRegistrationsAge is how old the newest run may be: it is made to run daily, and each domain's turn comes within days.
const maxRegistrationsAge = 14 * 24 * time.Hour

// Codes of releases that go by when domains were registered.
const (
	codeRegistrationsRefused = "registrations.refused"
	codeRegistrationsStale   = "registrations.stale"
)

func registrationCodes() []policy.Code {
	return []policy.Code{
		{ID: codeRegistrationsRefused, Rules: []string{"R48"}, Severity: policy.Warning, Summary: "the file of registrations cannot be used, so this release goes by what it knew of them before",
			Fix: "look where registrations in [gate] leads; starttls-list registrations makes the file anew"},
		{ID: codeRegistrationsStale, Rules: []string{"R48"}, Severity: policy.Warning, Summary: "nobody has asked the registries for two weeks, so domains with a new owner may go unnoticed",
			Fix: "look why the timer of starttls-list registrations does not run"},
	}
}

// readRegistrations takes the newest file. One that is no good takes nothing from what is remembered.
func (p *Publisher) readRegistrations(ctx context.Context, out *Probed) {
	if p.Registrations == nil {
		return
	}
	data, err := p.Registrations(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		out.findings = append(out.findings, registrationFinding(codeRegistrationsStale, "there is no file"))
		return
	}
	var f registration.File
	if err == nil {
		f, err = registration.Parse(data)
	}
	if err != nil {
		out.findings = append(out.findings, registrationFinding(codeRegistrationsRefused, err.Error()))
		return
	}
	out.registrations = &f
	if p.Now().Sub(f.Made) > maxRegistrationsAge {
		out.findings = append(out.findings, registrationFinding(codeRegistrationsStale, "the file is of "+f.Made.Format(policy.TimeFormat)))
	}
}

// registered tells the gate when the domain was registered, as it was told last, and whether somebody looked into that:
// who wrote the day into the entry's note or override.
func (d *decider) registered(t *track, in *gate.Input) {
	if f := d.out.registrations; f != nil {
		if at := f.Registered(in.Domain); !at.IsZero() {
			t.Registered = at
		}
	}
	in.Registered, in.Reviewed = t.Registered, t.Reviewed
	if in.Registered.IsZero() || hasErrors(d.checked.Findings()) {
		return
	}
	if e, listed := d.checked.Source().Lookup(in.Domain); listed && strings.Contains(e.Note+" "+e.Override, in.Registered.UTC().Format(time.DateOnly)) {
		in.Reviewed = in.Registered
	}
}

// heard remembers who vouched for the entry, and raises the gate's alarms.
func (d *decider) heard(t *track, out gate.Outcome) {
	if out.Vouched {
		t.Reviewed = t.Registered
	}
	d.out.findings = append(d.out.findings, out.Alarms...)
}

func registrationFinding(code, what string) policy.Finding {
	for _, c := range registrationCodes() {
		if c.ID == code {
			return policy.Finding{Code: code, Severity: c.Severity, Summary: what + ": " + c.Summary, Fix: c.Fix}
		}
	}
	return policy.Finding{Code: code, Severity: policy.Error, Summary: what}
}
