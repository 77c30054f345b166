package soak

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/transparency"
)

// kept is how many releases the judge remembers. A client is never so far behind: it would be for longer than any fault.
const kept = 4096

// judge knows what the log says, by what the mirrors show of it: each entry from the first is hashed into one tree and
// replayed into lists. Whatever else is seen has to be a part of that.
type judge struct {
	book  *book
	chain *transparency.TrustChain

	rng      transparency.CompactRange
	replay   *mirror.Replay
	alarms   int
	releases []judged            // the last ones, oldest first
	lists    map[[32]byte]int64  // SHA-256 of policy.json → release
	tables   map[[32]byte]int64  // of what is rendered from it
	roots    map[int64]tlog.Hash // tree size → root, at the end of each release
	policies map[string]string   // of each domain, by the change leaves
	shown    map[string]int64    // the largest tree that each mirror has shown
}

// judged is what can be forgotten of a release.
type judged struct {
	size        int64
	list, table [32]byte
}

func newJudge(b *book, chain *transparency.TrustChain) *judge {
	return &judge{
		book: b, chain: chain, replay: mirror.NewReplay(chain, nil), lists: map[[32]byte]int64{}, tables: map[[32]byte]int64{},
		roots: map[int64]tlog.Hash{}, policies: map[string]string{}, shown: map[string]int64{},
	}
}

// newest is the number of the newest release, 0 for none.
func (j *judge) newest() int64 {
	if last := j.replay.Last(); last != nil {
		return last.Leaf.Release
	}
	return 0
}

// look judges what a mirror shows now: the objects themselves, whatever its web server makes of them.
func (j *judge) look(ctx context.Context, name string, r mirror.Reader) {
	note, err := r.Get(ctx, mirror.CheckpointPath, transparency.MaxCheckpointBytes)
	if mirror.IsAbsent(err) && j.shown[name] == 0 {
		return // before its first release
	}
	if err != nil {
		j.book.wrong(lost, "mirror %s: %v", name, err)
		return
	}
	c, err := j.chain.Newest().OpenCheckpoint(note)
	if err != nil {
		j.book.wrong(fork, "mirror %s shows a checkpoint that is none: %v", name, err)
		return
	}
	if c.Tree.N < j.shown[name] {
		j.book.wrong(lost, "mirror %s shows %d log entries, it had %d", name, c.Tree.N, j.shown[name])
	}
	j.shown[name] = max(j.shown[name], c.Tree.N)
	j.judgeTree(ctx, name, r, c.Tree)
	pointer, err := r.Get(ctx, mirror.PointerPath, transparency.MaxProofBytes)
	if mirror.IsAbsent(err) {
		return // the first release is on its way
	}
	if err != nil {
		j.book.wrong(lost, "mirror %s: %v", name, err)
		return
	}
	if _, c, err = mirror.OpenPointer(pointer, j.chain); err != nil {
		j.book.wrong(fork, "mirror %s points at what is no release: %v", name, err)
		return
	}
	j.judgeTree(ctx, name, r, c.Tree)
}

// judgeTree holds a signed tree against the log so far, and goes on where it is larger.
func (j *judge) judgeTree(ctx context.Context, name string, r mirror.Reader, tree tlog.Tree) {
	if tree.N > j.rng.Size() {
		j.follow(ctx, name, r, tree)
		return
	}
	root, ok := j.roots[tree.N]
	switch {
	case ok && root != tree.Hash:
		j.book.wrong(fork, "mirror %s: a signed tree of %d entries that is not the beginning of this log", name, tree.N)
	case !ok && len(j.releases) > 0 && tree.N >= j.releases[0].size:
		j.book.wrong(fork, "mirror %s: a signed tree of %d entries, where no release ends", name, tree.N)
	}
}

// follow reads the entries that are new, and takes them only where they lead to the signed tree.
func (j *judge) follow(ctx context.Context, name string, r mirror.Reader, tree tlog.Tree) {
	entries, err := mirror.ReadEntries(ctx, r, j.rng.Size(), tree.N)
	if err != nil {
		j.book.wrong(lost, "mirror %s: the entries from %d to %d: %v", name, j.rng.Size(), tree.N, err)
		return
	}
	rng := j.rng.Clone()
	for _, e := range entries {
		rng = rng.Append(tlog.RecordHash(e))
	}
	if rng.Tree() != tree {
		j.book.wrong(fork, "mirror %s: the entries from %d do not lead to its signed tree of %d", name, j.rng.Size(), tree.N)
		return
	}
	for _, e := range entries {
		j.rng = j.rng.Append(tlog.RecordHash(e))
		if release := j.replay.Add(e); release != nil {
			j.take(release)
		}
	}
	alarms, _ := j.replay.Alarms()
	for ; j.alarms < len(alarms); j.alarms++ {
		j.book.wrong(doubled, "%s", alarms[j.alarms])
	}
	if last := j.replay.Last(); last == nil || last.Index != tree.N-1 {
		j.book.wrong(lost, "mirror %s: its signed tree of %d entries does not end in a release", name, tree.N)
	}
	j.book.note(func(r *Report) { r.Releases, r.Entries = j.newest(), j.rng.Size() })
}

// take remembers a release, whose number and previous leaf the replay has compared with those of the one before.
func (j *judge) take(r *mirror.Release) {
	for _, c := range j.replay.Changes() {
		text := ""
		if c.Policy != nil {
			text = string(c.Policy.AppendJSON(nil))
		}
		domain := c.Domain.String()
		if j.policies[domain] == text {
			j.book.wrong(doubled, "release %d sets %s to what it was", r.Leaf.Release, domain)
		}
		if j.policies[domain] = text; text == "" {
			delete(j.policies, domain)
		}
	}
	parts, err := r.Chunks()
	if err != nil {
		j.book.wrong(lost, "release %d: %v", r.Leaf.Release, err)
		return
	}
	h := sha256.New()
	for _, p := range parts {
		io.WriteString(h, p)
	}
	text, err := table(r.List, r.Leaf)
	if err != nil {
		j.book.wrong(lost, "release %d: %v", r.Leaf.Release, err)
		return
	}
	k := judged{size: j.rng.Size(), list: [32]byte(h.Sum(nil)), table: sha256.Sum256(text)}
	j.lists[k.list], j.tables[k.table], j.roots[k.size] = r.Leaf.Release, r.Leaf.Release, j.rng.Tree().Hash
	if j.releases = append(j.releases, k); len(j.releases) > kept {
		gone := j.releases[0]
		delete(j.lists, gone.list)
		delete(j.tables, gone.table)
		delete(j.roots, gone.size)
		j.releases = append(j.releases[:0], j.releases[1:]...)
	}
}

// holds judges the files of a client: list and table are each those of a release, whole, at any time.
func (j *judge) holds(f *follower) {
	for name, known := range map[string]map[[32]byte]int64{mirror.ListPath: j.lists, tableFile: j.tables} {
		data, err := os.ReadFile(filepath.Join(f.folder, name))
		if os.IsNotExist(err) && f.release == 0 {
			continue
		}
		if err != nil {
			j.book.wrong(lost, "client %s: %v", f.name, err)
			continue
		}
		if _, ok := known[sha256.Sum256(data)]; !ok {
			j.book.wrong(foreign, "client %s: %s, %d bytes, is that of no release", f.name, name, len(data))
		}
	}
}

// updated judges a client after an update that took or confirmed something: its list and its table are those of the release
// that it says, and never an earlier one than before.
func (j *judge) updated(f *follower, release int64) {
	if release < f.release {
		j.book.wrong(lost, "client %s went from release %d to %d", f.name, f.release, release)
	}
	f.release = max(f.release, release)
	for name, known := range map[string]map[[32]byte]int64{mirror.ListPath: j.lists, tableFile: j.tables} {
		data, err := os.ReadFile(filepath.Join(f.folder, name))
		if err != nil {
			j.book.wrong(lost, "client %s: %v", f.name, err)
			continue
		}
		if n, ok := known[sha256.Sum256(data)]; !ok || n != release {
			j.book.wrong(foreign, "client %s says that it holds release %d; its %s is %s", f.name, release, name, ofRelease(n, ok))
		}
	}
}

func ofRelease(n int64, ok bool) string {
	if !ok {
		return "that of none"
	}
	return fmt.Sprintf("that of release %d", n)
}
