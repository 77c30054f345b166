package main

import (
	"errors"

	"github.com/starttls-everywhere/policylist/pipeline"
)

// gateConfig is [gate] of policylist.toml.
type gateConfig struct {
	Enabled bool `toml:"enabled"`
}

// gateConfigText documents every key of [gate].
const gateConfigText = `[gate]
# Let the change table decide what each release makes (policy/gate/README.md): what must be proven, for how long, and what
# begins by itself: owners who leave, entries that no longer work. It looks at every entry at each release, so it needs
# [probe] evidence or enabled, and demotes nobody unless list.json names two vantages or more, by the keys that sign their
# evidence: "quorum": 2, "vantages": [{"name": "north", "key": "BASE64"}, …]. Without it a change goes out once its domain
# passes the probe. starttls-list pending tells what is held. Switch it on before you list real domains.
enabled = false
`

// checkGate refuses a gate that would see nothing, and so hold everything for ever.
func (c *config) checkGate() error {
	if c.Gate.Enabled && !c.Probe.Enabled && c.Probe.Evidence == "" {
		return errors.New("[gate] enabled needs evidence: set enabled or evidence in [probe]")
	}
	return nil
}

// gate is what the configuration says of it, nil for none.
func (c *config) gate() *pipeline.Gate {
	if !c.Gate.Enabled {
		return nil
	}
	return &pipeline.Gate{}
}
