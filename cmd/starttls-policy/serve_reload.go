package main

import (
	"context"
	"os"
	"reflect"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/starttls-everywhere/policylist/mirror/socketmap"
)

// reloadEvery is how often the state of the lists is looked at for a new release.
const reloadEvery = time.Second

// keep takes up what changes on the disk, until ctx ends: new releases and the kill switch by themselves, the
// configuration when hangup comes.
func (s *served) keep(ctx context.Context, hangup <-chan os.Signal) error {
	tick := time.NewTicker(reloadEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hangup:
			notifyReloading(s.log)
			s.reconfigure()
			notify(s.log, daemon.SdNotifyReady)
		case <-tick.C:
			s.reload()
			s.tellSwitch()
			s.followResolvers()
		}
	}
}

// reconfigure takes up the lists, overrides and early adopters of the configuration as it is now. One that is wrong changes
// nothing: a slip in it must not stop mail.
func (s *served) reconfigure() {
	cfg, _, err := readConfig(s.app.configPath)
	var lists []list
	if err == nil {
		lists, err = s.app.openLists(cfg)
	}
	if err != nil {
		s.configReloads.failed.Add(1)
		s.log.Error("configuration not read, the one before stays", "err", err)
		return
	}
	if cfg.State != s.config.State || !reflect.DeepEqual(cfg.Serve, s.written) || cfg.Testing.probes() != s.config.Testing.probes() {
		s.log.Warn("state, [serve] or the probe of [testing] have changed; they are taken up by a restart only")
	}
	cfg.State, cfg.Serve = s.config.State, s.config.Serve
	before := s.current.Load()
	next := s.answering(cfg, lists)
	next.SetLists(s.read(next, before.held(lists)))
	s.current.Store(next)
	s.configReloads.ok.Add(1)
	s.log.Info("configuration read anew", "lists", len(lists), "overrides", len(cfg.Overrides))
}

// held is what is in memory of these lists, whatever their order was.
func (a *answering) held(lists []list) []socketmap.Held {
	out := make([]socketmap.Held, len(lists))
	for i, l := range lists {
		out[i] = socketmap.Held{Name: l.name, Keep: l.client.KeepStale}
		for _, h := range a.Lists() {
			if h.Name == l.name {
				out[i] = h
				out[i].Keep = l.client.KeepStale
			}
		}
	}
	return out
}

// tellSwitch logs that the kill switch was pulled, or put back, or that nobody can tell.
func (s *served) tellSwitch() {
	if _, err := lookSwitch(s.config.State); err != nil {
		if text := err.Error(); text != s.switchLost {
			s.switchLost = text
			s.log.Error("nobody can tell whether policies are switched off, so it stays as it was", "off", s.wasOff, "err", text)
		}
		return
	}
	s.switchLost = ""
	off := readSwitch(s.config.State)
	switch {
	case off != nil && !s.wasOff:
		s.log.Warn("all policies are switched off", "since", off.Since, "reason", off.Reason)
	case off == nil && s.wasOff:
		s.log.Warn("all policies are in force again")
	}
	s.wasOff = off != nil
}
