package main

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows how far long work has come, one bar after the other, on a terminal and nowhere else: a mail from cron
// has no use for it. The zero value shows nothing.
type progress struct {
	w     io.Writer
	bar   *progressbar.ProgressBar
	stage string
}

// newProgress writes to w if that is a terminal.
func newProgress(w io.Writer) *progress {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return &progress{w: w}
	}
	return &progress{}
}

// show is told the stage, what is done of it and what there is to do.
func (p *progress) show(stage string, done, total int) {
	if p.w == nil {
		return
	}
	if stage != p.stage {
		p.end()
		p.stage = stage
		p.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(p.w), progressbar.OptionSetDescription(stage),
			progressbar.OptionShowCount(), progressbar.OptionClearOnFinish(), progressbar.OptionThrottle(100*time.Millisecond))
	}
	p.bar.Set(done)
}

// end removes the bar.
func (p *progress) end() {
	if p.bar != nil {
		p.bar.Clear()
		p.bar = nil
	}
}
