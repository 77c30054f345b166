package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/policy"
)

// newestRecovered is the release that the next one follows.
func newestRecovered(r *pipeline.Recovery) int64 {
	if n := len(r.Unpublished); n > 0 {
		return r.Unpublished[n-1]
	}
	return r.Release
}

func printRecovery(w io.Writer, r *pipeline.Recovery) {
	fmt.Fprintln(w, "mirrors:")
	for _, m := range r.Mirrors {
		fmt.Fprintf(w, "  %s: %s\n", term.Escape(m.Name), describeMirror(m, r))
	}
	if r.Release > 0 {
		printLogFound(w, r)
	}
	for _, s := range r.Witnesses {
		if s.Err != nil {
			fmt.Fprintf(w, "witness %s: %s\n", term.Escape(s.Name), term.Lines(s.Err.Error(), "  "))
			continue
		}
		fmt.Fprintf(w, "witness %s: has cosigned %d log entries, no more than were found\n", term.Escape(s.Name), s.Size)
	}
	if len(r.Lost) > 0 {
		printStateFound(w, r.State)
		fmt.Fprintln(w, "cannot be recovered:")
		for _, l := range r.Lost {
			fmt.Fprintf(w, "  %s\n", l)
		}
	}
	for _, x := range r.Warnings {
		fmt.Fprintf(w, "WARNING: %s\n", term.Escape(x))
	}
}

func describeMirror(m pipeline.MirrorSeen, r *pipeline.Recovery) string {
	text := fmt.Sprintf("release %d, %d log entries", m.Release, m.Size)
	if m.Tail > 0 {
		text += fmt.Sprintf(" and %d unpublished ones", m.Tail)
	}
	switch m.Verdict {
	case pipeline.MirrorChosen:
		return text + ": CHOSEN, " + r.Why
	case pipeline.MirrorSame:
		return text + ": the same log"
	case pipeline.MirrorBehind:
		return text + ": behind, a beginning of the same log"
	case pipeline.MirrorFork:
		return text + ": ANOTHER HISTORY"
	case pipeline.MirrorEarlier:
		return fmt.Sprintf("%s of %s, a log of this list that has ended", text, term.Escape(m.Origin))
	case pipeline.MirrorEmpty:
		return "empty, nothing was published there"
	case pipeline.MirrorWithout:
		return "left out"
	case "":
		return "not looked at"
	}
	return m.Verdict + ": " + term.Lines(m.Err.Error(), "    ")
}

func printLogFound(w io.Writer, r *pipeline.Recovery) {
	valid := "all valid"
	if n := len(r.NoEffect); n > 0 {
		valid = fmt.Sprintf("%d log entries without effect", n)
	}
	fmt.Fprintf(w, "%s: %d log entries replayed from the first; %s, %s; root %s as signed\n", term.Escape(r.Origin), r.Tree.N, term.Plural(r.Releases, "release"), valid, r.Tree.Hash)
	for _, x := range r.NoEffect {
		fmt.Fprintf(w, "  %s\n", term.Escape(x))
	}
	fmt.Fprintf(w, "  release %d of %s, expires %s: %s\n", r.Release, r.Timestamp.Format(policy.TimeFormat), r.Expires.Format(policy.TimeFormat), term.Plural(int(r.Count), "domain"))
	for _, n := range r.Unpublished {
		fmt.Fprintf(w, "  release %d: logged and not published; the next run of release completes it\n", n)
	}
	if r.Earlier {
		fmt.Fprintln(w, "  this log has ended by a trust version: the next release begins another")
	}
}

func printStateFound(w io.Writer, s pipeline.StateSeen) {
	switch {
	case s.Interrupted:
		fmt.Fprintln(w, "state: an earlier recover was interrupted; it is begun anew")
	case s.Damage != nil:
		fmt.Fprintf(w, "state: DAMAGED: %s\n", term.Lines(s.Damage.Error(), "  "))
	case !s.Exists:
		fmt.Fprintln(w, "state: there is none")
	case s.Older:
		fmt.Fprintf(w, "state: an older one, release %d with %d log entries\n", s.Release, s.Size)
	default:
		fmt.Fprintf(w, "state: release %d with %d log entries\n", s.Release, s.Size)
	}
}

func printRecovered(w io.Writer, r *pipeline.Recovery) {
	next := fmt.Sprintf("the next release is number %d", newestRecovered(r)+1)
	if len(r.Unpublished) > 0 {
		next = fmt.Sprintf("the next run of release completes release %d", newestRecovered(r))
	}
	fmt.Fprintf(w, "recovered: %s\n", next)
	if r.Replaced != "" {
		fmt.Fprintf(w, "  the state before is in %s\n", term.Escape(r.Replaced))
	}
}

// recoveryJSON is the shape of recover --json.
type recoveryJSON struct {
	Mirrors     []recoveryMirrorJSON  `json:"mirrors"`
	Chosen      string                `json:"chosen"`
	Why         string                `json:"why"`
	Origin      string                `json:"origin"`
	Size        int64                 `json:"size"` // entries of the signed tree
	Root        string                `json:"root"`
	Release     int64                 `json:"release"` // in which it ends
	Timestamp   string                `json:"timestamp"`
	Expires     string                `json:"expires"`
	Releases    int                   `json:"releases"`
	Count       int64                 `json:"count"`
	Unpublished []int64               `json:"unpublished"`
	Earlier     bool                  `json:"earlier_log"`
	NoEffect    []string              `json:"no_effect"`
	State       recoveryStateJSON     `json:"state"`
	Witnesses   []recoveryWitnessJSON `json:"witnesses"`
	Lost        []string              `json:"lost"`
	Warnings    []string              `json:"warnings"`
	Recovered   bool                  `json:"recovered"`
	Replaced    string                `json:"replaced"`
	Error       string                `json:"error,omitempty"`
}

type recoveryMirrorJSON struct {
	Name       string `json:"name"`
	Configured bool   `json:"configured"`
	Verdict    string `json:"verdict"`
	Origin     string `json:"origin"`
	Size       int64  `json:"size"`
	Release    int64  `json:"release"`
	Tail       int64  `json:"unpublished_entries"`
	Error      string `json:"error,omitempty"`
}

type recoveryStateJSON struct {
	Exists      bool   `json:"exists"`
	Interrupted bool   `json:"interrupted"`
	Older       bool   `json:"older"`
	Size        int64  `json:"size"`
	Release     int64  `json:"release"`
	Damage      string `json:"damage,omitempty"`
}

type recoveryWitnessJSON struct {
	Name  string `json:"name"`
	Size  int64  `json:"size"`
	Error string `json:"error,omitempty"`
}

func printRecoveryJSON(w io.Writer, r *pipeline.Recovery, err error, done bool) error {
	text := func(err error) string {
		if err == nil {
			return ""
		}
		return err.Error()
	}
	at := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.Format(policy.TimeFormat)
	}
	j := recoveryJSON{
		Mirrors: []recoveryMirrorJSON{}, Chosen: r.Chosen, Why: r.Why, Origin: r.Origin, Size: r.Tree.N, Root: r.Tree.Hash.String(), Release: r.Release,
		Timestamp: at(r.Timestamp), Expires: at(r.Expires), Releases: r.Releases, Count: r.Count, Unpublished: append([]int64{}, r.Unpublished...),
		Earlier: r.Earlier, NoEffect: append([]string{}, r.NoEffect...), Witnesses: []recoveryWitnessJSON{}, Lost: append([]string{}, r.Lost...),
		Warnings: append([]string{}, r.Warnings...), Recovered: done, Replaced: r.Replaced, Error: text(err),
		State: recoveryStateJSON{r.State.Exists, r.State.Interrupted, r.State.Older, r.State.Size, r.State.Release, text(r.State.Damage)},
	}
	for _, m := range r.Mirrors {
		j.Mirrors = append(j.Mirrors, recoveryMirrorJSON{m.Name, m.Configured, m.Verdict, m.Origin, m.Size, m.Release, m.Tail, text(m.Err)})
	}
	for _, s := range r.Witnesses {
		j.Witnesses = append(j.Witnesses, recoveryWitnessJSON{s.Name, s.Size, text(s.Err)})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(j)
}
