package main

import "github.com/starttls-everywhere/policylist/cmd/internal/exposition"

// standingMetrics are known to whoever reads the state folder: "status --prometheus", the file for node_exporter, and the
// daemon. Nothing has a domain for a label: who exchanges mail with whom is nobody's business.
var standingMetrics = []exposition.Metric{
	{Name: "starttls_policy_build_info", Kind: exposition.Gauge, Labels: []string{"version"}, Help: "1; the label is the version of the program."},
	{Name: "starttls_policy_list_release", Kind: exposition.Gauge, Labels: []string{"list"}, Help: "Number of the release that is held, 0 for none."},
	{Name: "starttls_policy_list_domains", Kind: exposition.Gauge, Labels: []string{"list"}, Help: "Domains whose policies are in force by the list."},
	{Name: "starttls_policy_list_state", Kind: exposition.Gauge, Labels: []string{"list", "state"}, Help: "1 for the state that the list is in: fresh, stale, expired or none; else 0."},
	{Name: "starttls_policy_list_made_timestamp_seconds", Kind: exposition.Gauge, Labels: []string{"list"}, Help: "When the release was made; its age is the time since."},
	{Name: "starttls_policy_list_expires_timestamp_seconds", Kind: exposition.Gauge, Labels: []string{"list"}, Help: "When the release expires and counts as empty."},
	{Name: "starttls_policy_list_quorum_timestamp_seconds", Kind: exposition.Gauge, Labels: []string{"list"}, Help: "When the log and its witnesses last vouched for the release."},
	{Name: "starttls_policy_list_confirmed_timestamp_seconds", Kind: exposition.Gauge, Labels: []string{"list"}, Help: "When a mirror last confirmed that there is no newer release."},
	{Name: "starttls_policy_list_held_release", Kind: exposition.Gauge, Labels: []string{"list"}, Help: "Number of the release that the diff guard holds back, 0 for none."},
	{Name: "starttls_policy_list_alarms", Kind: exposition.Gauge, Labels: []string{"list"}, Help: "Log entries without effect that the last update met."},
	{Name: "starttls_policy_list_evidence", Kind: exposition.Gauge, Labels: []string{"list"}, Help: "1 when there is evidence that the log has signed two histories."},
	{Name: "starttls_policy_trust_version", Kind: exposition.Gauge, Labels: []string{"list"}, Help: "Number of the newest trust version."},
	{Name: "starttls_policy_trust_expires_timestamp_seconds", Kind: exposition.Gauge, Labels: []string{"list"}, Help: "When the newest trust version expires, after which no new release counts."},
	{Name: "starttls_policy_updates_total", Kind: exposition.Counter, Labels: []string{"outcome"}, Help: "Updates that ran, by what they ended with: fresh, stale, expired, no_mirror, security or failed."},
	{Name: "starttls_policy_last_update_timestamp_seconds", Kind: exposition.Gauge, Help: "When the last update ran."},
	{Name: "starttls_policy_mirror_errors_total", Kind: exposition.Counter, Labels: []string{"list"}, Help: "Mirrors that an update found unusable."},
	{Name: "starttls_policy_overrides", Kind: exposition.Gauge, Labels: []string{"state"}, Help: "Overrides in the configuration, active or expired."},
	{Name: "starttls_policy_disabled", Kind: exposition.Gauge, Help: "1 while everything is switched off by the kill switch."},
}

// staticMetrics are of the set-up without a daemon.
var staticMetrics = []exposition.Metric{
	{Name: "starttls_policy_outputs_current", Kind: exposition.Gauge, Help: "1 when the mail server's table and files are as they should be."},
}

// daemonMetrics are of "serve". Counters begin at its start.
var daemonMetrics = []exposition.Metric{
	{Name: "starttls_policy_lookups_total", Kind: exposition.Counter, Labels: []string{"source", "result", "dialect"}, Help: "Questions about a domain, by whose word counted, what was answered (policy, notfound or temp), and the map's dialect."},
	{Name: "starttls_policy_lookups_without_domain_total", Kind: exposition.Counter, Help: "Questions about keys that are no recipient domain, such as the parents that Postfix asks for after notfound."},
	{Name: "starttls_policy_possible_downgrades_total", Kind: exposition.Counter, Help: "Answers under a policy that the domain itself no longer confirms; the log has the domains."},
	{Name: "starttls_policy_cache_entries", Kind: exposition.Gauge, Labels: []string{"cache"}, Help: "Domains remembered: their MTA-STS policies (mta_sts), their MX hosts (mx)."},
	{Name: "starttls_policy_list_reloads_total", Kind: exposition.Counter, Labels: []string{"result"}, Help: "Lists that were read anew because an update had changed them, ok or failed."},
	{Name: "starttls_policy_config_reloads_total", Kind: exposition.Counter, Labels: []string{"result"}, Help: "Configurations read anew after SIGHUP, ok or failed."},
	{Name: "starttls_policy_connections", Kind: exposition.Gauge, Help: "Open connections of mail servers."},
	{Name: "starttls_policy_connections_total", Kind: exposition.Counter, Help: "Connections that were accepted."},
	{Name: "starttls_policy_accept_errors_total", Kind: exposition.Counter, Help: "Connections that could not be accepted, mostly for want of file descriptors."},
	{Name: "starttls_policy_stopping", Kind: exposition.Gauge, Help: "1 while the daemon answers its last questions before it ends."},
	{Name: "process_start_time_seconds", Kind: exposition.Gauge, Help: "When the daemon started."},
	{Name: "process_resident_memory_bytes", Kind: exposition.Gauge, Help: "Memory of the daemon, without an update that it runs."},
	{Name: "process_open_fds", Kind: exposition.Gauge, Help: "Open file descriptors."},
}
