package transparency

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// TrustChange is one difference between a version and the one before. Removed or Added is empty where something only
// came or went.
type TrustChange struct {
	Item    string `json:"item"` // "expires", "origin", "root threshold", "root key", "release threshold", "release key", "log key" or "witnesses"
	Removed string `json:"removed,omitempty"`
	Added   string `json:"added,omitempty"`
}

// Changes lists what t changes against before, in the order of the text.
func (t *Trust) Changes(before *Trust) []TrustChange {
	var out []TrustChange
	value := func(item, old, new string) {
		if old != new {
			out = append(out, TrustChange{item, old, new})
		}
	}
	set := func(item string, old, new []string) {
		for _, k := range old {
			if !slices.Contains(new, k) {
				out = append(out, TrustChange{Item: item, Removed: k})
			}
		}
		for _, k := range new {
			if !slices.Contains(old, k) {
				out = append(out, TrustChange{Item: item, Added: k})
			}
		}
	}
	value("expires", before.Expires.Format(time.RFC3339), t.Expires.Format(time.RFC3339))
	value("origin", before.Origin, t.Origin)
	value("root threshold", fmt.Sprint(before.RootK), fmt.Sprint(t.RootK))
	set("root key", before.RootVKeys(), t.RootVKeys())
	value("release threshold", fmt.Sprint(before.ReleaseK), fmt.Sprint(t.ReleaseK))
	set("release key", spellings(before.releases), spellings(t.releases))
	value("log key", before.LogVKey(), t.LogVKey())
	lines := func(w WitnessPolicy) []string { return strings.Split(strings.TrimSuffix(w.String(), "\n"), "\n") }
	set("witnesses", lines(before.Witnesses), lines(t.Witnesses))
	return out
}

func spellings(keys []ReleaseKey) []string {
	out := make([]string, len(keys))
	for i, k := range keys {
		out[i] = k.String()
	}
	return out
}
