package site

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/transparency"
)

// logPage shows whose signatures stand behind the list, and until when they are worth something.
type logPage struct {
	view
	Size         int64
	Checkpoint   string // the root, base64
	Note         string // the checkpoint as the log and the witnesses signed it
	Newest       Release
	FreshUntil   string
	Evidence     int64
	Witnessed    bool
	Quorum       string // lines of the witness policy that say how many it takes
	Cosignatures []cosignatureView
	Current      trustView
	Trust        []trustView // all versions, the newest first
	Alarms       []Alarm
	MoreAlarms   int
	Join         string // "" where readers know no address of the mirror
	Fetch        string // how to come by the trust version to begin with; "" in a copy of the mirror
	Show, Audit  string
	TrustFile    string
	Last         []releaseView
}

type trustView struct {
	Version          int64
	Fingerprint, Log string
	Expires          string
	Release          *Release // the first of which it is the version; nil: none yet
	ReleaseK, RootK  int
	Releases, Roots  []string
	Witnesses        []string
	First            bool // nothing is known of what it changed
	Changes          []string
}

// cosignatureView is a witness's word, under the name that the trust has for it and that of its key.
type cosignatureView struct {
	Cosignature
	Key string
}

type releaseView struct {
	Release
	Changes int64
}

// maxReleases is how many releases the page of the log shows.
const maxReleases = 30

func (b *builder) logPage() logPage {
	newest := b.Newest()
	p := logPage{view: b.view("Log and keys, "+b.Origin, "log", "../"), Size: b.Checkpoint.Tree.N, Checkpoint: b.Checkpoint.Tree.Hash.String(), Note: string(b.Checkpoint.Note),
		Newest: newest, FreshUntil: stamp(mirror.FreshUntil(newest.ReleaseLeaf, b.Checkpoint.QuorumTime)), Evidence: b.Model.Evidence.Release,
		Alarms: b.Alarms, MoreAlarms: b.MoreAlarms}
	first := b.firstReleases()
	for i, t := range b.Trust {
		var before *transparency.Trust
		if i > 0 {
			before = b.Trust[i-1]
		}
		p.Trust = append(p.Trust, newTrustView(t, before, first[t.Version]))
	}
	slices.Reverse(p.Trust)
	p.Current = p.Trust[0]
	policy := b.Trust[len(b.Trust)-1].Witnesses
	p.Witnessed = !policy.IsNone()
	for i, w := range policy.Witnesses() {
		key, _, _ := strings.Cut(w.VKey, "+")
		p.Cosignatures = append(p.Cosignatures, cosignatureView{b.Cosignatures[i], key})
	}
	for line := range strings.Lines(policy.String()) {
		if !strings.HasPrefix(line, "witness ") {
			p.Quorum += line
		}
	}
	for _, r := range slices.Backward(b.Releases) {
		if len(p.Last) == maxReleases {
			break
		}
		p.Last = append(p.Last, releaseView{r, r.To - r.From})
	}
	b.logCommands(&p)
	return p
}

// logCommands are those that a reader copies. Belief begins with the version that the site began with, which the reader
// compares with what the operator told by another way; the mirror leads to the newer ones.
func (b *builder) logCommands(p *logPage) {
	path := mirror.TrustPath(b.Trust[0].Version)
	p.TrustFile = path
	if b.Address != "." {
		p.TrustFile = fmt.Sprintf("trust-%d", b.Trust[0].Version)
	}
	if b.absolute() {
		address := strings.TrimSuffix(b.Address, "/") + "/"
		p.Fetch = fmt.Sprintf("curl -fsS -o %s %s", p.TrustFile, shellWord(address+path))
		p.Join = fmt.Sprintf("starttls-policy join %s --fingerprint %s", shellWord(address), p.Current.Fingerprint)
	}
	p.Show = "starttls-list trust show " + p.TrustFile
	p.Audit = fmt.Sprintf("starttls-list audit %s --trust %s", shellWord(b.Address), p.TrustFile)
}

// firstReleases are the first release of each trust version.
func (m *Model) firstReleases() map[int64]*Release {
	out := map[int64]*Release{}
	for i := range m.Releases {
		r := &m.Releases[i]
		if out[r.Trust] == nil {
			out[r.Trust] = r
		}
	}
	return out
}

func newTrustView(t, before *transparency.Trust, first *Release) trustView {
	v := trustView{Version: t.Version, Fingerprint: fmt.Sprintf("%x", t.Digest()), Log: t.LogVKey(), Expires: stamp(t.Expires), Release: first,
		ReleaseK: t.ReleaseK, RootK: t.RootK, Roots: t.RootVKeys(), First: before == nil}
	for _, k := range t.ReleaseKeys() {
		id := k.ID()
		v.Releases = append(v.Releases, base64.StdEncoding.EncodeToString(id[:]))
	}
	for _, w := range t.Witnesses.Witnesses() {
		v.Witnesses = append(v.Witnesses, w.VKey)
	}
	if before != nil {
		for _, c := range t.Changes(before) {
			v.Changes = append(v.Changes, trustChange(c))
		}
	}
	return v
}

func trustChange(c transparency.TrustChange) string {
	switch {
	case c.Removed == "":
		return fmt.Sprintf("%s: %s came", c.Item, c.Added)
	case c.Added == "":
		return fmt.Sprintf("%s: %s went", c.Item, c.Removed)
	}
	return fmt.Sprintf("%s: %s instead of %s", c.Item, c.Added, c.Removed)
}
