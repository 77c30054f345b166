package soak

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options say what is run. Dir and Program are required.
type Options struct {
	For        time.Duration // by the machine's clock
	FaultEvery time.Duration // from one fault to the next; each lasts half of it. 0: a minute
	Pace       time.Duration // the least time from one release to the next
	Seed       uint64        // decides which faults come, in what order, with what details
	Dir        string        // an empty folder
	// Program is this program's file, and Args how it is called to run a part (see RunPart); Args[0] is its name.
	Program string
	Args    []string
	Gateway string // versitygw's file; "": the third mirror is a folder, too
	S3Only  bool   // where the gateway does not start nothing is run, instead of the third mirror being a folder
	// Out prints a line of what happens; nil prints nothing.
	Out func(format string, args ...any)

	// Of tests: how many faults there are, whatever the time, with the fewest releases; which kinds, not all; and what makes
	// wrong, before each round, what the judge is to notice.
	periods int
	only    []kind
	tamper  func(w *world, round int) error
}

// Report is how it went.
type Report struct {
	Seed     uint64         `json:"seed"`
	Seconds  float64        `json:"seconds"`       // by the machine's clock
	Hours    float64        `json:"virtual_hours"` // by the list's
	Mirrors  []string       `json:"mirrors"`       // "NAME: KIND"
	Releases int64          `json:"releases"`      // that the log has
	Entries  int64          `json:"log_entries"`
	Failed   int            `json:"releases_failed"` // runs of the publisher that ended with an error; a later one went on
	Updates  int            `json:"updates"`         // of both clients
	Refused  int            `json:"updates_warned"`  // among them, those that turned a mirror down
	Answers  int64          `json:"answers"`         // of the daemon
	Killed   map[string]int `json:"killed"`          // processes, by what they were
	Faults   map[string]int `json:"faults"`          // by kind
	Wrong    Wrong          `json:"wrong"`
	Problems []string       `json:"problems"` // what the first wrong states of each kind were
	Heap     Trend          `json:"heap"`
	RSS      Trend          `json:"rss"` // without samples where the system does not tell
}

// Wrong counts states that must not be.
type Wrong struct {
	Bytes   int `json:"bytes"`   // a client held what no release has
	Lost    int `json:"lost"`    // a release, a change or a way back to normal is missing
	Doubled int `json:"doubled"` // the log has something twice, or something without effect
	Forks   int `json:"forks"`   // two histories
	Answers int `json:"answers"` // not by the list that was held
}

// Total is all of them together.
func (w Wrong) Total() int { return w.Bytes + w.Lost + w.Doubled + w.Forks + w.Answers }

// OK reports whether nothing was wrong and memory flat.
func (r Report) OK() bool { return r.Wrong.Total() == 0 && r.Heap.Flat && r.RSS.Flat }

// perKind is how many wrong states of a kind are told in words.
const perKind = 4

// book is the report while it is written. Safe for concurrent use.
type book struct {
	mu sync.Mutex
	Report
}

// wrong notes a wrong state. count picks its counter.
func (b *book) wrong(count func(*Wrong) *int, format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := count(&b.Wrong)
	if *n++; *n <= perKind {
		b.Problems = append(b.Problems, fmt.Sprintf(format, args...))
	}
}

// note changes the report.
func (b *book) note(change func(*Report)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(&b.Report)
}

// The counters of wrong states.
func foreign(w *Wrong) *int   { return &w.Bytes }
func lost(w *Wrong) *int      { return &w.Lost }
func doubled(w *Wrong) *int   { return &w.Doubled }
func fork(w *Wrong) *int      { return &w.Forks }
func misanswer(w *Wrong) *int { return &w.Answers }

// Print writes the report for people.
func (r Report) Print(w io.Writer) {
	fmt.Fprintf(w, "soak: seed %d, %.0f seconds, which were %.1f days of the list; mirrors %s\n", r.Seed, r.Seconds, r.Hours/24, strings.Join(r.Mirrors, ", "))
	fmt.Fprintf(w, "  %d releases, %d log entries; runs of the publisher that failed and were made good by the next: %d\n", r.Releases, r.Entries, r.Failed)
	fmt.Fprintf(w, "  %d updates of two clients, %d of them turned a mirror down; %d answers of the daemon\n", r.Updates, r.Refused, r.Answers)
	fmt.Fprintf(w, "  faults: %s; killed: %s\n", counts(r.Faults), counts(r.Killed))
	fmt.Fprintf(w, "  memory: heap %s; resident %s\n", r.Heap, r.RSS)
	fmt.Fprintf(w, "  wrong states %d: foreign bytes %d, lost %d, doubled %d, forks %d, answers %d\n",
		r.Wrong.Total(), r.Wrong.Bytes, r.Wrong.Lost, r.Wrong.Doubled, r.Wrong.Forks, r.Wrong.Answers)
	for _, p := range r.Problems {
		fmt.Fprintf(w, "    %s\n", p)
	}
}

func counts(m map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, m[name]))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}
