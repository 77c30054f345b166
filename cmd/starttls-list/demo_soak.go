package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/soak"
	"github.com/starttls-everywhere/policylist/cmd/internal/term"
)

// soakOptions are the flags of demo that are about --soak.
type soakOptions struct {
	last    time.Duration
	every   time.Duration
	seed    uint64
	gateway string
	json    bool
	part    bool // this is a process of a soak
}

// soakPace is the least time between two releases of a soak: they are to go on for hours without filling the disk.
const soakPace = 250 * time.Millisecond

func (o *soakOptions) addFlags(c *cobra.Command) {
	c.Flags().DurationVar(&o.last, "soak", 0, "instead of the story, run a list for this long (10m) while something goes wrong all the time")
	c.Flags().DurationVar(&o.every, "fault-every", time.Minute, "with --soak: the time from one fault to the next")
	c.Flags().Uint64Var(&o.seed, "seed", 0, "with --soak: which faults come, in what order; 0: at random")
	c.Flags().StringVar(&o.gateway, "versitygw", "", "with --soak: the S3 gateway's program (default: where it is found)")
	c.Flags().BoolVar(&o.json, "json", false, "with --soak: print the report as JSON")
	c.Flags().BoolVar(&o.part, "soak-part", false, "")
	_ = c.Flags().MarkHidden("soak-part") // it exists
}

// check refuses flags that mean nothing here.
func (o *soakOptions) check(c *cobra.Command) error {
	switch {
	case o.last < 0 || o.every <= 0 || o.last == 0 && c.Flags().Changed("soak"):
		return usage(c, errors.New("--soak and --fault-every take a time, such as 10m"))
	case o.last > 0:
		return nil
	}
	for _, name := range []string{"fault-every", "seed", "versitygw", "json"} {
		if c.Flags().Changed(name) {
			return usage(c, fmt.Errorf("--%s needs --soak with a time", name))
		}
	}
	return nil
}

// runSoak runs a soak in dir and prints how it went.
func runSoak(c *cobra.Command, o soakOptions, dir string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for o.seed == 0 {
		o.seed = rand.Uint64()
	}
	named := o.gateway != ""
	if !named {
		o.gateway = soak.FindGateway()
	}
	out := c.OutOrStdout()
	progress := out
	if o.json {
		progress = io.Discard
	}
	fmt.Fprintf(progress, "policylist demo: a list runs for %s, something goes wrong every %s, --seed %d\n", o.last, o.every, o.seed)
	report, err := soak.Run(c.Context(), soak.Options{
		For: o.last, FaultEvery: o.every, Pace: soakPace, Seed: o.seed, Dir: dir, Gateway: o.gateway, S3Only: named,
		Program: self, Args: []string{"starttls-list", "demo", "--soak-part"},
		Out: func(format string, args ...any) { fmt.Fprintf(progress, format+"\n", args...) },
	})
	if err != nil {
		return err
	}
	if o.json {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		err = e.Encode(report)
	} else {
		report.Print(out)
	}
	if err == nil && !report.OK() {
		err = &term.Exit{Code: exitFail, Err: fmt.Errorf("%w: %d wrong states; memory flat: %v", errDemo, report.Wrong.Total(), report.Heap.Flat && report.RSS.Flat)}
	}
	return err
}
