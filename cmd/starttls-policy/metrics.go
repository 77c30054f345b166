package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/starttls-everywhere/policylist/cmd/internal/exposition"
	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/mirror/socketmap"
	"github.com/starttls-everywhere/policylist/policy"
)

// addStanding adds what the state folder tells.
func addStanding(set *exposition.Set, cfg config, reports []listReport, last updateReport, off bool, now time.Time) {
	set.Add(metricPrefix+"build_info", 1, version)
	for _, r := range reports {
		addList(set, r)
		set.Add(metricPrefix+"mirror_errors_total", float64(last.Counts.MirrorErrors[r.Name]), r.Name)
	}
	for _, name := range slices.Sorted(outcomeNames()) {
		set.Add(metricPrefix+"updates_total", float64(last.Counts.Outcomes[name]), name)
	}
	addTime(set, metricPrefix+"last_update_timestamp_seconds", last.Time)
	active := 0
	for d := range cfg.Overrides {
		if _, ok := cfg.Overrides.Find(d, now); ok {
			active++
		}
	}
	set.Add(metricPrefix+"overrides", float64(active), "active")
	set.Add(metricPrefix+"overrides", float64(len(cfg.Overrides)-active), "expired")
	set.Add(metricPrefix+"disabled", truth(off))
	addFeedback(set, cfg)
}

// outcomeNames are the values of a label, all of them from the first scrape on, so that a rate sees the first of each.
func outcomeNames() func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, name := range outcomes {
			if !yield(name) {
				return
			}
		}
	}
}

func addList(set *exposition.Set, r listReport) {
	set.Add(metricPrefix+"list_release", float64(r.Release), r.Name)
	set.Add(metricPrefix+"list_domains", float64(r.Domains), r.Name)
	for _, state := range []mirror.Freshness{mirror.Fresh, mirror.Stale, mirror.Expired, mirror.None} {
		set.Add(metricPrefix+"list_state", truth(r.Freshness == state), r.Name, string(state))
	}
	addTime(set, metricPrefix+"list_made_timestamp_seconds", r.Timestamp, r.Name)
	addTime(set, metricPrefix+"list_expires_timestamp_seconds", r.Expires, r.Name)
	addTime(set, metricPrefix+"list_quorum_timestamp_seconds", r.QuorumTime, r.Name)
	addTime(set, metricPrefix+"list_confirmed_timestamp_seconds", r.Checked, r.Name)
	set.Add(metricPrefix+"list_held_release", float64(r.HeldRelease), r.Name)
	set.Add(metricPrefix+"list_pinned", truth(r.Pinned != nil), r.Name)
	set.Add(metricPrefix+"list_alarms", float64(len(r.Alarms)+r.MoreAlarms), r.Name)
	set.Add(metricPrefix+"list_evidence", truth(r.Evidence != ""), r.Name)
	set.Add(metricPrefix+"trust_version", float64(r.Trust), r.Name)
	addTime(set, metricPrefix+"trust_expires_timestamp_seconds", r.TrustExpires, r.Name)
}

// addTime adds a time in policy.TimeFormat. One that is not known has no sample: zero would be the year 1970.
func addTime(set *exposition.Set, name, stamp string, labels ...string) {
	if t, err := policy.ParseTime(stamp); err == nil {
		set.Add(name, float64(t.Unix()), labels...)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// staticMetricsText is what "status --prometheus" prints and an update writes.
func (a *app) staticMetricsText(ctx context.Context, cfg config, lists []list) []byte {
	last := loadLastUpdate(cfg.State)
	var reports []listReport
	for _, l := range lists {
		reports = append(reports, statusOf(l, last))
	}
	set := exposition.NewSet(slices.Concat(standingMetrics, staticMetrics))
	addStanding(set, cfg, reports, last, readSwitch(cfg.State) != nil, a.now())
	_, tableRight := a.tableState(ctx, cfg, lists)
	_, filesRight := a.exportStates(cfg, lists)
	set.Add(metricPrefix+"outputs_current", truth(tableRight && filesRight))
	left := 0
	if own := a.ownStatus(ctx, cfg, lists); own != nil {
		left = len(own.LeftOut)
	}
	set.Add(metricPrefix+"left_out_domains", float64(left))
	return set.Text()
}

// writeTextfile keeps the file for node_exporter's textfile collector, which must never see half of it.
func (a *app) writeTextfile(ctx context.Context, cfg config, lists []list) error {
	path := string(cfg.Metrics.Textfile)
	if path == "" {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("[metrics] textfile: %w", err)
	}
	if err := durable.WriteFile(path, a.staticMetricsText(ctx, cfg, lists), 0o644); err != nil {
		return fmt.Errorf("[metrics] textfile: %w", err)
	}
	return nil
}

// metricsText is what the daemon tells.
func (s *served) metricsText() []byte {
	now, set := s.current.Load(), exposition.NewSet(slices.Concat(standingMetrics, daemonMetrics))
	last := loadLastUpdate(s.config.State)
	addStanding(set, now.config, now.reports(last, s.app.now()), last, s.off(), s.app.now())
	for _, l := range s.metrics.Lookups() {
		set.Add(metricPrefix+"lookups_total", float64(l.Count), string(l.Source), string(l.Result), l.Dialect)
	}
	set.Add(metricPrefix+"lookups_without_domain_total", float64(s.metrics.Foreign()))
	set.Add(metricPrefix+"possible_downgrades_total", float64(s.metrics.Downgrades()))
	set.Add(metricPrefix+"refused_policies_total", float64(s.metrics.Refused()))
	if s.live != nil {
		policies, routes := s.live.Cached()
		set.Add(metricPrefix+"cache_entries", float64(policies), "mta_sts")
		set.Add(metricPrefix+"cache_entries", float64(routes), "mx")
	}
	s.listReloads.add(set, metricPrefix+"list_reloads_total")
	s.configReloads.add(set, metricPrefix+"config_reloads_total")
	set.Add(metricPrefix+"updates_unreported_total", float64(s.unreported.Load()))
	open, accepted, failed := s.metrics.Connections()
	set.Add(metricPrefix+"connections", float64(open))
	set.Add(metricPrefix+"connections_total", float64(accepted))
	set.Add(metricPrefix+"accept_errors_total", float64(failed))
	set.Add(metricPrefix+"stopping", truth(s.stopping.Load()))
	s.addProcess(set)
	return set.Text()
}

func (r *reloads) add(set *exposition.Set, name string) {
	set.Add(name, float64(r.ok.Load()), "ok")
	set.Add(name, float64(r.failed.Load()), "failed")
}

// addProcess adds what every program tells under these names. Without /proc two of them are missing.
func (s *served) addProcess(set *exposition.Set) {
	set.Add("process_start_time_seconds", float64(s.started.Unix()))
	if data, err := os.ReadFile("/proc/self/statm"); err == nil {
		var size, resident int64 // pages
		if n, _ := fmt.Sscan(string(data), &size, &resident); n == 2 {
			set.Add("process_resident_memory_bytes", float64(resident*int64(os.Getpagesize())))
		}
	}
	if files, err := os.ReadDir("/proc/self/fd"); err == nil {
		set.Add("process_open_fds", float64(len(files)-1)) // one of them reads the folder
	}
}

// reports is how the lists stand in memory, with what the last update found.
func (a *answering) reports(last updateReport, now time.Time) []listReport {
	held := a.Lists()
	out := make([]listReport, len(a.lists))
	for i, l := range a.lists {
		out[i] = a.report(l, held[i], now)
		out[i].takeLast(last)
	}
	return out
}

func (a *answering) report(l list, h socketmap.Held, now time.Time) listReport {
	if h.Release == nil {
		r := describe(l, mirror.Outcome{View: mirror.View{Freshness: mirror.None}}, 0)
		return r
	}
	o, domains := *h.Outcome, h.Len()
	o.Freshness = o.At(now)
	if h.Expired(now) {
		domains = 0
	}
	r := describe(l, o, domains)
	r.Exit = exitOf(o, nil)
	return r
}
