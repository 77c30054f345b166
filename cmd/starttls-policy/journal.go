package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"syscall"
)

// newLog is the daemon's log: one line a record. The journal has a time of its own for each line, and reads a priority in
// front of it, by which "journalctl -p warning" finds what matters (sd-daemon(3)).
func newLog(w io.Writer) *slog.Logger {
	if !toJournal(w) {
		return slog.New(slog.NewTextHandler(w, nil))
	}
	return slog.New(newJournalHandler(w))
}

// toJournal reports whether w is the stream that systemd connected with the journal. JOURNAL_STREAM names it by device and
// inode, for a child inherits the variable and may have had its output sent elsewhere.
func toJournal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	var device, inode uint64
	if _, err := fmt.Sscanf(os.Getenv("JOURNAL_STREAM"), "%d:%d", &device, &inode); err != nil {
		return false
	}
	info, err := f.Stat()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && uint64(stat.Dev) == device && stat.Ino == inode
}

// journalHandler writes "<priority>level=… msg=…". The text handler quotes line breaks, so nobody's name can begin a line
// with a priority of its own.
type journalHandler struct {
	slog.Handler // writes to line
	line         *bytes.Buffer
	mu           *sync.Mutex // of line
	w            io.Writer
}

func newJournalHandler(w io.Writer) journalHandler {
	line := new(bytes.Buffer)
	return journalHandler{slog.NewTextHandler(line, &slog.HandlerOptions{ReplaceAttr: withoutTime}), line, new(sync.Mutex), w}
}

func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// Handle implements slog.Handler.
func (h journalHandler) Handle(ctx context.Context, r slog.Record) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.line.Reset()
	fmt.Fprintf(h.line, "<%d>", priority(r.Level))
	if err := h.Handler.Handle(ctx, r); err != nil {
		return err
	}
	_, err := h.w.Write(h.line.Bytes())
	return err
}

// WithAttrs implements slog.Handler.
func (h journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	h.Handler = h.Handler.WithAttrs(attrs)
	return h
}

// WithGroup implements slog.Handler.
func (h journalHandler) WithGroup(name string) slog.Handler {
	h.Handler = h.Handler.WithGroup(name)
	return h
}

// priority is that of syslog (RFC 5424 section 6.2.1).
func priority(l slog.Level) int {
	switch {
	case l >= slog.LevelError:
		return 3
	case l >= slog.LevelWarn:
		return 4
	case l >= slog.LevelInfo:
		return 6
	}
	return 7
}
