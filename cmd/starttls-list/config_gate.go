package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/registration"
)

// gateConfig is [gate] of policylist.toml.
type gateConfig struct {
	Enabled       bool   `toml:"enabled"`
	Registrations string `toml:"registrations"`
}

// gateConfigText documents every key of [gate].
const gateConfigText = `[gate]
# Let the change table decide what each release makes (policy/gate/README.md): what must be proven, for how long, and what
# begins by itself: owners who leave, entries that no longer work. It looks at every entry at each release, so it needs
# [probe] evidence or enabled, and demotes nobody unless list.json names two vantages or more, by the keys that sign their
# evidence: "quorum": 2, "vantages": [{"name": "north", "key": "BASE64"}, …]. Without it a change goes out once its domain
# passes the probe. starttls-list pending tells what is held. Switch it on before you list real domains.
enabled = false
# Where "starttls-list registrations" puts when domains were registered: a folder, or a private place on S3. Where a domain was
# registered anew, what its owner before asked for is suspended (gate.reregistered). "" for nowhere: then nobody notices.
registrations = ""
`

// checkGate refuses a gate that would see nothing, and so hold everything for ever.
func (c *config) checkGate() error {
	if c.Gate.Enabled && !c.Probe.Enabled && c.Probe.Evidence == "" {
		return errors.New("[gate] enabled needs evidence: set enabled or evidence in [probe]")
	}
	if c.Gate.Registrations != "" && !c.Gate.Enabled {
		return errors.New("[gate] registrations are for the gate: set enabled")
	}
	if scheme, _, err := splitReference(c.Gate.Registrations); c.Gate.Registrations != "" && (err != nil || scheme != "file" && scheme != "s3") {
		return fmt.Errorf("[gate] registrations: %q is neither a folder nor s3://…", c.Gate.Registrations)
	}
	return nil
}

// registrations gives what is known of registrations, nil for nothing. A folder that is missing has nothing yet.
func (c *config) registrations() pipeline.RegistrationSource {
	if c.Gate.Registrations == "" {
		return nil
	}
	return func(ctx context.Context) ([]byte, error) {
		place, err := openReader(ctx, c.mirrorRef(c.Gate.Registrations))
		if err != nil {
			return nil, err
		}
		return place.Get(ctx, registrationsFile, registration.MaxFile)
	}
}

// gate is what the configuration says of it, nil for none.
func (c *config) gate() *pipeline.Gate {
	if !c.Gate.Enabled {
		return nil
	}
	return &pipeline.Gate{}
}
