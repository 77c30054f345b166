package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// notify tells systemd, where that started us (sd_notify(3)).
func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("systemd was not told", "state", state, "err", err)
	}
}

// notifyReloading begins a reload, which SdNotifyReady ends. systemd compares the time with that of its signal.
func notifyReloading(log *slog.Logger) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		log.Warn("systemd was not told", "state", daemon.SdNotifyReloading, "err", err)
		return
	}
	notify(log, fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, now.Nano()/int64(time.Microsecond)))
}

// watchdog tells systemd that questions can be answered, three times in each of its periods, until ctx ends. Where one
// cannot, alive does not come back, systemd hears nothing, and starts another daemon.
func (s *served) watchdog(ctx context.Context) error {
	period, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		s.log.Warn("no watchdog", "err", err)
	}
	if err != nil || period <= 0 {
		return nil
	}
	return every(ctx, period/3, func() {
		s.current.Load().Alive()
		notify(s.log, daemon.SdNotifyWatchdog)
	})
}
