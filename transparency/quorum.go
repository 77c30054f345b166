package transparency

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// WitnessPolicy says which cosignatures make a checkpoint count (C2SP tlog-policy). The zero value asks for none.
type WitnessPolicy struct {
	witnesses []witness
	groups    []group
	quorum    string // name of a witness or group; "" for none
}

type witness struct {
	name string
	key  noteKey
	url  string // submission prefix, or ""
}

type group struct {
	name    string
	spelled string // "all", "any" or the number, as written
	k       int
	members []string
}

// Limits on policy complexity; C2SP recommends to support at least 32.
const (
	maxWitnesses = 64
	maxGroups    = 64
)

// IsNone reports whether no cosignature is asked for.
func (p WitnessPolicy) IsNone() bool { return p.quorum == "" }

// WitnessURL is where one witness takes checkpoints.
type WitnessURL struct {
	Name string // the policy's name for it
	VKey string
	URL  string // submission prefix; "" when the policy gives none
}

// Witnesses lists all witnesses in the policy's order.
func (p WitnessPolicy) Witnesses() []WitnessURL {
	out := make([]WitnessURL, len(p.witnesses))
	for i, w := range p.witnesses {
		out[i] = WitnessURL{w.name, w.key.String(), w.url}
	}
	return out
}

// QuorumTime returns the latest time t such that the witnesses whose cosignature is not older than t satisfy the
// policy; ok is false when they do not satisfy it at all. cosigned maps a witness's name to its cosignature's time.
// A policy that asks for none has no quorum time: the zero time and true.
func (p WitnessPolicy) QuorumTime(cosigned map[string]time.Time) (t time.Time, ok bool) {
	if p.IsNone() {
		return time.Time{}, true
	}
	known := make(map[string]time.Time, len(p.witnesses)+len(p.groups))
	for _, w := range p.witnesses {
		if at, ok := cosigned[w.name]; ok {
			known[w.name] = at
		}
	}
	for _, g := range p.groups { // members stand before their group
		var times []time.Time
		for _, m := range g.members {
			if at, ok := known[m]; ok {
				times = append(times, at)
			}
		}
		if len(times) >= g.k {
			slices.SortFunc(times, func(a, b time.Time) int { return b.Compare(a) })
			known[g.name] = times[g.k-1]
		}
	}
	t, ok = known[p.quorum]
	return t, ok
}

// String returns the policy's lines in their one form: witnesses, groups, quorum.
func (p WitnessPolicy) String() string {
	var b strings.Builder
	for _, w := range p.witnesses {
		fmt.Fprintf(&b, "witness %s %s", w.name, w.key)
		if w.url != "" {
			b.WriteString(" " + w.url)
		}
		b.WriteString("\n")
	}
	for _, g := range p.groups {
		fmt.Fprintf(&b, "group %s %s %s\n", g.name, g.spelled, strings.Join(g.members, " "))
	}
	if p.IsNone() {
		return b.String() + "quorum none\n"
	}
	return b.String() + "quorum " + p.quorum + "\n"
}

// ParseWitnessPolicy reads the lines witness…, group…, quorum in that order.
func ParseWitnessPolicy(text string) (WitnessPolicy, error) {
	var p WitnessPolicy
	names := map[string]bool{"none": true} // every defined name; true once it is a member, which it may be only once
	closed := false
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) == 0 || closed {
			return p, errors.New("witness policy: nothing may follow the quorum line, and no line may be empty")
		}
		var err error
		switch f[0] {
		case "witness":
			err = p.addWitness(f[1:], names)
		case "group":
			err = p.addGroup(f[1:], names)
		case "quorum":
			closed = true
			err = p.setQuorum(f[1:], names)
		default:
			err = fmt.Errorf("unknown item %q", f[0])
		}
		if err != nil {
			return WitnessPolicy{}, fmt.Errorf("witness policy: %w", err)
		}
	}
	if !closed || p.String() != text {
		return WitnessPolicy{}, errors.New("witness policy: not in its one form: witness lines, group lines, one quorum line, single spaces")
	}
	return p, nil
}

func (p *WitnessPolicy) addWitness(f []string, names map[string]bool) error {
	if len(f) < 2 || len(f) > 3 || len(p.witnesses) == maxWitnesses {
		return fmt.Errorf("a witness line has a name, a vkey and perhaps a URL; there may be %d of them", maxWitnesses)
	}
	key, err := parseVKey(f[1], algCosignature)
	if err != nil {
		return err
	}
	w := witness{name: f[0], key: key}
	if len(f) == 3 {
		w.url = f[2]
	}
	p.witnesses = append(p.witnesses, w)
	return define(f[0], names)
}

func (p *WitnessPolicy) addGroup(f []string, names map[string]bool) error {
	if len(f) < 3 || len(p.groups) == maxGroups {
		return fmt.Errorf("a group line has a name, a threshold and members; there may be %d of them", maxGroups)
	}
	g := group{name: f[0], spelled: f[1], members: f[2:]}
	switch g.spelled {
	case "all":
		g.k = len(g.members)
	case "any":
		g.k = 1
	default:
		k, err := strconv.Atoi(g.spelled)
		if err != nil || k < 1 || k > len(g.members) || strconv.Itoa(k) != g.spelled {
			return fmt.Errorf("group %s: threshold %q is none of all, any, 1 to %d", g.name, g.spelled, len(g.members))
		}
		g.k = k
	}
	for _, m := range g.members {
		if member, defined := names[m]; !defined || member {
			return fmt.Errorf("group %s: member %s is not defined above, or is a member already", g.name, m)
		}
		names[m] = true
	}
	p.groups = append(p.groups, g)
	return define(g.name, names)
}

func define(name string, names map[string]bool) error {
	if _, taken := names[name]; taken {
		return fmt.Errorf("the name %s is taken", name)
	}
	names[name] = false
	return nil
}

func (p *WitnessPolicy) setQuorum(f []string, names map[string]bool) error {
	if len(f) != 1 {
		return errors.New("a quorum line has one name")
	}
	if f[0] == "none" {
		return nil
	}
	if _, defined := names[f[0]]; !defined {
		return fmt.Errorf("quorum %s is not defined above", f[0])
	}
	p.quorum = f[0]
	return nil
}
