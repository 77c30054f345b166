package main

import "github.com/starttls-everywhere/policylist/cmd/internal/exposition"

// metricPrefix begins the names of all metrics but those that every program has.
const metricPrefix = "starttls_policy_"

// standingMetrics are known to whoever reads the state folder: "status --prometheus", the file for node_exporter, and the
// daemon. Nothing has a domain for a label: who exchanges mail with whom is nobody's business.
var standingMetrics = []exposition.Metric{
	{Name: metricPrefix + "build_info", Kind: exposition.Gauge, Labels: []string{"version"}, Help: "1; the label is the version of the program."},
	{Name: metricPrefix + "list_release", Kind: exposition.Gauge, Labels: []string{"list"}, Help: "Number of the release that is held, 0 for none."},
	{Name: metricPrefix + "list_domains", Kind: exposition.Gauge, Labels: []string{"list"}, Help: "Domains whose policies are in force by the list."},
	{Name: metricPrefix + "list_state", Kind: exposition.Gauge, Labels: []string{"list", "state"}, Help: "1 for the state that the list is in: fresh, stale, expired or none; else 0."},
	{Name: metricPrefix + "list_made_timestamp_seconds", Kind: exposition.Gauge, Labels: []string{"list"}, Help: "When the release was made; its age is the time since."},
	{Name: metricPrefix + "list_expires_timestamp_seconds", Kind: exposition.Gauge, Labels: []string{"list"}, Help: "When the release expires and counts as empty."},
	{Name: metricPrefix + "list_quorum_timestamp_seconds", Kind: exposition.Gauge, Labels: []string{"list"}, Help: "When the log and its witnesses last vouched for the release."},
	{Name: metricPrefix + "list_confirmed_timestamp_seconds", Kind: exposition.Gauge, Labels: []string{"list"}, Help: "When a mirror last confirmed that there is no newer release."},
	{Name: metricPrefix + "list_held_release", Kind: exposition.Gauge, Labels: []string{"list"}, Help: "Number of the release that the diff guard holds back, 0 for none."},
	{Name: metricPrefix + "list_pinned", Kind: exposition.Gauge, Labels: []string{"list"}, Help: "1 while an earlier list is in force in the place of the newest (rollback)."},
	{Name: metricPrefix + "list_alarms", Kind: exposition.Gauge, Labels: []string{"list"}, Help: "Log entries without effect that the last update met."},
	{Name: metricPrefix + "list_evidence", Kind: exposition.Gauge, Labels: []string{"list"}, Help: "1 when there is evidence that the log has signed two histories."},
	{Name: metricPrefix + "trust_version", Kind: exposition.Gauge, Labels: []string{"list"}, Help: "Number of the newest trust version."},
	{Name: metricPrefix + "trust_expires_timestamp_seconds", Kind: exposition.Gauge, Labels: []string{"list"}, Help: "When the newest trust version expires, after which no new release counts."},
	{Name: metricPrefix + "updates_total", Kind: exposition.Counter, Labels: []string{"outcome"}, Help: "Updates that ran, by what they ended with: fresh, stale, expired, no_mirror, security or failed."},
	{Name: metricPrefix + "last_update_timestamp_seconds", Kind: exposition.Gauge, Help: "When the last update ran."},
	{Name: metricPrefix + "mirror_errors_total", Kind: exposition.Counter, Labels: []string{"list"}, Help: "Mirrors that an update found unusable."},
	{Name: metricPrefix + "overrides", Kind: exposition.Gauge, Labels: []string{"state"}, Help: "Overrides in the configuration, active or expired."},
	{Name: metricPrefix + "disabled", Kind: exposition.Gauge, Help: "1 while everything is switched off by the kill switch."},
	{Name: metricPrefix + "feedback_notice", Kind: exposition.Gauge, Labels: []string{"code"}, Help: "1 while the list's operator says this about the mail server ([feedback]): canary-delivered is mail that should have waited."},
	{Name: metricPrefix + "feedback_overdue", Kind: exposition.Gauge, Help: "Days of the last two weeks whose document the operator has not accepted when it was due."},
}

// staticMetrics are of the set-up without a daemon.
var staticMetrics = []exposition.Metric{
	{Name: metricPrefix + "outputs_current", Kind: exposition.Gauge, Help: "1 when the mail server's table and files are as they should be."},
	{Name: metricPrefix + "left_out_domains", Kind: exposition.Gauge, Help: "Listed domains without a line, for what they say themselves comes first ([leave-out])."},
}

// daemonMetrics are of "serve". Counters begin at its start.
var daemonMetrics = []exposition.Metric{
	{Name: metricPrefix + "lookups_total", Kind: exposition.Counter, Labels: []string{"source", "result", "dialect"}, Help: "Questions about a domain, by whose word counted, what was answered (policy, notfound or temp), and the map's dialect."},
	{Name: metricPrefix + "lookups_without_domain_total", Kind: exposition.Counter, Help: "Questions about keys that are no recipient domain, such as the parents that Postfix asks for after notfound."},
	{Name: metricPrefix + "possible_downgrades_total", Kind: exposition.Counter, Help: "Answers under a policy that the domain itself no longer confirms; the log has the domains."},
	{Name: metricPrefix + "refused_policies_total", Kind: exposition.Counter, Help: "Answers without a policy because its line of a list is damaged; the log has the domains."},
	{Name: metricPrefix + "cache_entries", Kind: exposition.Gauge, Labels: []string{"cache"}, Help: "Domains remembered: their MTA-STS policies (mta_sts), their MX hosts (mx)."},
	{Name: metricPrefix + "list_reloads_total", Kind: exposition.Counter, Labels: []string{"result"}, Help: "Lists that were read anew because an update had changed them, ok or failed."},
	{Name: metricPrefix + "config_reloads_total", Kind: exposition.Counter, Labels: []string{"result"}, Help: "Configurations read anew after SIGHUP, ok or failed."},
	{Name: metricPrefix + "updates_unreported_total", Kind: exposition.Counter, Help: "Updates of the daemon that ended without a report: they could not start, or were killed, or another was at work."},
	{Name: metricPrefix + "connections", Kind: exposition.Gauge, Help: "Open connections of mail servers."},
	{Name: metricPrefix + "connections_total", Kind: exposition.Counter, Help: "Connections that were accepted."},
	{Name: metricPrefix + "accept_errors_total", Kind: exposition.Counter, Help: "Connections that could not be accepted, mostly for want of file descriptors."},
	{Name: metricPrefix + "stopping", Kind: exposition.Gauge, Help: "1 while the daemon answers its last questions before it ends."},
	{Name: "process_start_time_seconds", Kind: exposition.Gauge, Help: "When the daemon started."},
	{Name: "process_resident_memory_bytes", Kind: exposition.Gauge, Help: "Memory of the daemon, without an update that it runs."},
	{Name: "process_open_fds", Kind: exposition.Gauge, Help: "Open file descriptors."},
}
