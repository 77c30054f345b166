package visitors

import (
	"context"
	"log"
	"log/slog"
	"strings"
)

// ErrorLog is for an http.Server. It keeps the complaints of net/http about single clients out of the log, which name their
// addresses; a handler that panicked is told, without the address.
func ErrorLog(to *slog.Logger) *log.Logger {
	return slog.NewLogLogger(withoutAddresses{to.Handler()}, slog.LevelError)
}

type withoutAddresses struct{ slog.Handler }

// Handle implements slog.Handler.
func (h withoutAddresses) Handle(ctx context.Context, r slog.Record) error {
	if !strings.Contains(r.Message, "panic") {
		return nil
	}
	before, rest, _ := strings.Cut(r.Message, "panic serving ")
	_, what, _ := strings.Cut(rest, ": ")
	return h.Handler.Handle(ctx, slog.NewRecord(r.Time, r.Level, before+"panic: "+what, r.PC))
}
