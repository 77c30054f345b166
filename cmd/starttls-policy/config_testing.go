package main

import "fmt"

// testingConfig is the [testing] table: where to look for what enforcing would do to mail.
type testingConfig struct {
	Log   absolutePath // "": no log is read
	Probe probeRule
}

// testingFile is [testing] as TOML has it.
type testingFile struct {
	Log   setting[absolutePath, *absolutePath] `toml:"log"`
	Probe setting[probeRule, *probeRule]       `toml:"probe"`
}

func (f testingFile) config() testingConfig { return testingConfig{f.Log.value, f.Probe.value} }

func (c testingConfig) probes() bool { return c.Probe == probeAsked }

// probeRule says whose MX hosts the daemon looks at; "" is off.
type probeRule string

const (
	probeOff   probeRule = "off"
	probeAsked probeRule = "asked" // those of listed testing domains to which this machine writes
)

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *probeRule) UnmarshalText(text []byte) error {
	if *r = probeRule(text); *r != probeOff && *r != probeAsked {
		return fmt.Errorf("probe = %q: it is %q or %q", text, probeOff, probeAsked)
	}
	return nil
}

// testingText shows the table as comments.
const testingText = `
# What would become of mail if testing policies were enforced. It is counted here, shown by "status", and sent to nobody
# unless [feedback] says source = "log".
#[testing]
# Postfix's log, which every update reads on; it has to be readable for the user that runs the update (group adm on Debian).
# main.cf needs smtp_tls_loglevel = 1.
#log = "/var/log/mail.log"
# "asked": the daemon looks at the MX hosts of testing domains to which this machine has sent mail within a month, with a TLS
# handshake and no mail: one session in 30 seconds, each host and each domain once a day. "off", the default, looks at nobody.
#probe = "asked"
`
