package main

import (
	"time"

	"github.com/starttls-everywhere/policylist/cmd/internal/exposition"
	"github.com/starttls-everywhere/policylist/mirror/audit"
	"github.com/starttls-everywhere/policylist/policy"
)

// freshnessPrefix begins the names of freshness's metrics.
const freshnessPrefix = "starttls_list_"

// freshnessTable are the metrics of freshness. A label has what was given on the command line, or stands in a trust version.
var freshnessTable = []exposition.Metric{
	{Name: freshnessPrefix + "freshness_timestamp_seconds", Kind: exposition.Gauge, Help: "When freshness last looked; alert when it is old, for then nobody looks."},
	{Name: freshnessPrefix + "freshness_exit_code", Kind: exposition.Gauge, Help: "What freshness ended with: 0 well, 1 critical, 2 a mirror was not read, 10 warnings, 50 two histories."},
	{Name: freshnessPrefix + "mirror_findings", Kind: exposition.Gauge, Labels: []string{"mirror", "severity"}, Help: "What there is to tell of a mirror, by severity: error, warning or notice."},
	{Name: freshnessPrefix + "mirror_read", Kind: exposition.Gauge, Labels: []string{"mirror"}, Help: "1 when the mirror answered, else 0."},
	{Name: freshnessPrefix + "mirror_verified", Kind: exposition.Gauge, Labels: []string{"mirror"}, Help: "1 when a new client takes what the mirror has, else 0."},
	{Name: freshnessPrefix + "mirror_release", Kind: exposition.Gauge, Labels: []string{"mirror"}, Help: "Number of the mirror's newest release."},
	{Name: freshnessPrefix + "mirror_log_size", Kind: exposition.Gauge, Labels: []string{"mirror"}, Help: "Entries of the log as the mirror has it."},
	{Name: freshnessPrefix + "mirror_domains", Kind: exposition.Gauge, Labels: []string{"mirror"}, Help: "Domains in the mirror's newest list."},
	{Name: freshnessPrefix + "mirror_ended", Kind: exposition.Gauge, Labels: []string{"mirror"}, Help: "1 when the operator has ended the list, else 0."},
	{Name: freshnessPrefix + "mirror_made_timestamp_seconds", Kind: exposition.Gauge, Labels: []string{"mirror"}, Help: "When the mirror's newest release was made."},
	{Name: freshnessPrefix + "mirror_expires_timestamp_seconds", Kind: exposition.Gauge, Labels: []string{"mirror"}, Help: "When the mirror's newest list expires."},
	{Name: freshnessPrefix + "mirror_quorum_timestamp_seconds", Kind: exposition.Gauge, Labels: []string{"mirror"}, Help: "When the log and its witnesses last vouched for the mirror's newest release."},
	{Name: freshnessPrefix + "mirror_trust_version", Kind: exposition.Gauge, Labels: []string{"mirror"}, Help: "The mirror's newest trust version."},
	{Name: freshnessPrefix + "mirror_trust_expires_timestamp_seconds", Kind: exposition.Gauge, Labels: []string{"mirror"}, Help: "When the mirror's newest trust version expires."},
	{Name: freshnessPrefix + "mirror_behind_releases", Kind: exposition.Gauge, Labels: []string{"mirror"}, Help: "Releases that another mirror has and this one has not."},
	{Name: freshnessPrefix + "mirror_behind_entries", Kind: exposition.Gauge, Labels: []string{"mirror"}, Help: "Log entries that another mirror has and this one has not."},
	{Name: freshnessPrefix + "mirror_behind_seconds", Kind: exposition.Gauge, Labels: []string{"mirror"}, Help: "How much older the mirror's quorum time is than the newest mirror's."},
	{Name: freshnessPrefix + "mirror_cosigned_timestamp_seconds", Kind: exposition.Gauge, Labels: []string{"mirror", "witness"}, Help: "When the witness cosigned the checkpoint that the mirror has, 0 for never."},
}

// freshnessMetrics leaves out what is not known.
func freshnessMetrics(report audit.FreshnessReport, exit int) []byte {
	set := exposition.NewSet(freshnessTable)
	add := func(name string, value float64, labels ...string) { set.Add(freshnessPrefix+name, value, labels...) }
	add("freshness_timestamp_seconds", seconds(report.Time))
	add("freshness_exit_code", float64(exit))
	seen := map[string]bool{}
	for _, m := range report.Mirrors {
		if seen[m.Mirror] {
			continue // named twice: one sample would contradict the other
		}
		seen[m.Mirror] = true
		counts := map[policy.Severity]int{}
		for _, f := range m.Findings {
			counts[f.Severity]++
		}
		for _, s := range []policy.Severity{policy.Error, policy.Warning, policy.Notice} {
			add("mirror_findings", float64(counts[s]), m.Mirror, string(s))
		}
		add("mirror_read", truth(m.Read), m.Mirror)
		add("mirror_verified", truth(m.Verified), m.Mirror)
		if m.Verified {
			mirrorMetrics(add, m)
		}
	}
	return set.Text()
}

func mirrorMetrics(add func(string, float64, ...string), m *audit.MirrorFreshness) {
	for _, x := range []struct {
		name  string
		value float64
	}{
		{"release", float64(m.Release)}, {"log_size", float64(m.Size)}, {"domains", float64(m.Domains)}, {"ended", truth(m.Ended)},
		{"made_timestamp_seconds", seconds(m.Timestamp)}, {"expires_timestamp_seconds", seconds(m.Expires)}, {"quorum_timestamp_seconds", seconds(m.QuorumTime)},
		{"trust_version", float64(m.Trust)}, {"trust_expires_timestamp_seconds", seconds(m.TrustExpires)},
		{"behind_releases", float64(m.Behind.Releases)}, {"behind_entries", float64(m.Behind.Entries)}, {"behind_seconds", m.Behind.Seconds},
	} {
		add("mirror_"+x.name, x.value, m.Mirror)
	}
	for _, c := range m.Cosigned {
		add("mirror_cosigned_timestamp_seconds", seconds(c.Time), m.Mirror, c.Witness)
	}
}

// seconds since 1970, 0 for no time.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.Unix())
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
