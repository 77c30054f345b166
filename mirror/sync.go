package mirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"

	"github.com/starttls-everywhere/policylist/transparency"
)

var (
	// ErrSource means that the mirror to copy from lacks what it must have, or serves what does not verify.
	ErrSource = errors.New("the source is not a good mirror")
	// ErrUnreachable means that the source gave no answer.
	ErrUnreachable = errors.New("the source cannot be read")
	// ErrLagging means that a mirror serves an older state that contradicts nothing.
	ErrLagging = errLagging
	// ErrOtherLog means that the destination holds an earlier log of the same list. Tiles have the same names in every
	// log, so the new one needs a mirror of its own; only the trust versions are copied to the old one.
	ErrOtherLog = errors.New("the mirror holds an earlier log of this list")
	// ErrOccupied means that the destination holds objects and is no mirror. Nothing is written: whoever mistyped a path
	// would have a list among other things.
	ErrOccupied = errors.New("the destination is not empty, and no mirror")
	// ErrDestination means that what the destination says of itself cannot be believed.
	ErrDestination = errors.New("the destination's own pointer or trust is damaged")
)

// copies bounds the objects under way at once.
const copies = 16

// Sync copies a mirror: what the destination lacks, verified before it is written, in the order of publishing, the
// pointer last. So a client of the destination finds at any moment everything that it is told of, a run that was
// interrupted is gone on with by the next, and one that finds the same pointer reads next to nothing. The destination
// never goes back, and never changes to another history of the log.
//
// The log's tree decides: tiles and entries are proved against the new checkpoint's root before they are written, and
// so is the tree that the destination has. The site is not copied: nothing signs it.
type Sync struct {
	From   Reader
	To     Store
	Chain  *transparency.TrustChain // begins with what the caller trusts; Run extends it
	Check  bool                     // read back everything that the destination has
	Repair bool                     // Check, and replace what is damaged

	// Progress is called now and then with the stage, the objects done and those to do; nil for never. Calls do not
	// overlap.
	Progress func(stage string, done, total int)
}

// Synced is what a run found and did. Lists of paths are sorted.
type Synced struct {
	Release      int64    `json:"release"`
	Origin       string   `json:"origin"`
	Size         int64    `json:"size"`          // log entries
	Before       int64    `json:"size_before"`   // log entries that the destination had, 0 for a new one
	Copied       int      `json:"copied"`        // objects written, restored and repaired ones among them
	Bytes        int64    `json:"bytes"`         // their identity bytes
	Restored     []string `json:"restored"`      // the destination had published what needs them, and lacked them
	Damaged      []string `json:"damaged"`       // held other bytes; found only with Check
	Repaired     []string `json:"repaired"`      // those that now hold verified bytes
	FromRequests int64    `json:"from_requests"` // requests made at the source
	ToRequests   int64    `json:"to_requests"`   // at the destination; a listing counts as one
}

// Run copies. Errors wrap ErrSource, ErrUnreachable, ErrLagging, ErrOtherLog, ErrOccupied, ErrDestination, ErrConflict, or are
// *ForkError; others are the destination's. What was written before an error is good.
func (s *Sync) Run(ctx context.Context) (Synced, error) {
	r := &syncRun{Sync: s, src: newSourceReader(s.From), dst: &storeCounter{Store: s.To}, deep: s.Check || s.Repair}
	err := r.run(ctx)
	for _, paths := range []*[]string{&r.out.Restored, &r.out.Damaged, &r.out.Repaired} {
		slices.Sort(*paths)
		*paths = slices.Compact(*paths)
	}
	r.out.FromRequests, r.out.ToRequests = r.src.requests.Load(), r.dst.requests.Load()
	return r.out, err
}

// syncRun is one run. What a stage finds out is set before the next begins.
type syncRun struct {
	*Sync
	src  *sourceReader
	dst  *storeCounter
	deep bool

	pointer    *pointer
	data       []byte // of the pointer
	before     []byte // the destination's pointer, nil if none
	beforeTree tlog.Tree
	log        *verifiedLog
	have       map[string]bool // what the destination lists
	offered    map[string]bool // what the source lists, nil when it cannot
	releases   []syncedRelease // whose proofs were read, oldest first
	list       []byte          // policy.json, once it was needed

	mu  sync.Mutex
	out Synced
}

func (r *syncRun) run(ctx context.Context) error {
	if err := r.openDestination(ctx); err != nil {
		return err
	}
	if err := r.openSource(ctx); errors.Is(err, ErrOtherLog) {
		return errors.Join(err, r.copy(ctx, stage{"trust", r.trustItems()}))
	} else if err != nil {
		return err
	}
	if err := r.survey(ctx); err != nil {
		return err
	}
	for _, stage := range r.stages() {
		if err := r.copy(ctx, stage); err != nil {
			return err
		}
	}
	return r.putMutable(ctx)
}

// openDestination lists what is there and takes over the trust versions: a source that lacks one of them lags.
func (r *syncRun) openDestination(ctx context.Context) error {
	r.have = map[string]bool{}
	mirror := false
	r.dst.requests.Add(1)
	for path, err := range r.To.List(ctx, "") {
		if err != nil {
			return err
		}
		r.have[path] = true
		mirror = mirror || isOfMirror(path)
	}
	if len(r.have) > 0 && !mirror {
		return ErrOccupied
	}
	err := FollowTrust(ctx, r.dst, r.Chain, func(*transparency.Trust) error { return nil })
	if errors.Is(err, transparency.ErrTrust) && r.Repair {
		return nil // the source's will replace it, if it can follow
	}
	if errors.Is(err, transparency.ErrTrust) {
		return fmt.Errorf("%w: %w", ErrDestination, err)
	}
	return err
}

// isOfMirror reports whether only a mirror has an object at the path. A copy begins with the trust versions and then the
// tiles, so that one that was cut short is known as well.
func isOfMirror(path string) bool {
	return path == PointerPath || path == CheckpointPath || strings.HasPrefix(path, "tile/") || strings.HasPrefix(path, "trust/")
}

// openSource verifies the source's pointer and that both checkpoints of the destination are prefixes of its log.
func (r *syncRun) openSource(ctx context.Context) error {
	if err := FollowTrust(ctx, r.src, r.Chain, func(*transparency.Trust) error { return nil }); err != nil {
		return asSource(err)
	}
	var err error
	if r.data, err = r.src.Get(ctx, PointerPath, transparency.MaxProofBytes); err != nil {
		return err
	}
	if r.pointer, err = openPointer(r.data, r.Chain); err != nil {
		if !errors.Is(err, errLagging) {
			err = asSource(err)
		}
		return fmt.Errorf("%s: %w", PointerPath, err)
	}
	c := r.pointer.checkpoint
	r.out.Release, r.out.Origin, r.out.Size = r.pointer.leaf.Release, c.Origin, c.Tree.N
	r.log = newVerifiedLog(ctx, r.src, c.Tree)
	if err := r.follow(ctx); err != nil {
		return err
	}
	return r.listSource(ctx)
}

// follow reads the destination's two pointers. A crash between them leaves the checkpoint ahead.
func (r *syncRun) follow(ctx context.Context) error {
	for _, path := range []string{CheckpointPath, PointerPath} {
		data, err := r.dst.Get(ctx, path, transparency.MaxProofBytes)
		if IsAbsent(err) {
			continue
		}
		if err != nil {
			return err
		}
		held, err := r.openHeld(path, data)
		switch {
		case err != nil && r.Repair:
			r.out.Damaged = append(r.out.Damaged, path)
			continue
		case err != nil:
			return fmt.Errorf("%w: %s: %w", ErrDestination, path, err)
		}
		if held.Origin != r.pointer.checkpoint.Origin {
			return fmt.Errorf("%w, %s; the log %s needs a mirror of its own", ErrOtherLog, held.Origin, r.pointer.checkpoint.Origin)
		}
		if err := r.log.follows(held, r.pointer.checkpoint); err != nil {
			return err
		}
		if path == PointerPath {
			r.before, r.beforeTree = data, held.Tree
		}
		r.out.Before = max(r.out.Before, held.Tree.N)
	}
	return nil
}

// openHeld verifies one of the destination's pointers as far as its log is concerned.
func (r *syncRun) openHeld(path string, data []byte) (transparency.Cosigned, error) {
	if path == CheckpointPath {
		return openAny(r.Chain, string(data))
	}
	proof, err := transparency.ParseProof(data)
	if err != nil {
		return transparency.Cosigned{}, err
	}
	held, err := openAny(r.Chain, string(proof.Checkpoint))
	if err != nil {
		return held, err
	}
	return held, proof.Check(tlog.RecordHash(proof.Extra), held.Tree)
}

// follows checks that held is a prefix of c's log. When it is not, both signed checkpoints together are the evidence.
func (l *verifiedLog) follows(held, c transparency.Cosigned) error {
	switch {
	case held.Tree.N == 0 || held.Tree == c.Tree:
		return nil
	case held.Tree.N > c.Tree.N:
		return fmt.Errorf("%w: its log has %d entries, the destination's %d", ErrLagging, c.Tree.N, held.Tree.N)
	case held.Tree.N == c.Tree.N:
		return newFork(c.Origin, string(held.Note), string(c.Note), nil, nil)
	}
	got, err := tlog.TreeHash(held.Tree.N, l.hashes)
	if err != nil {
		return asSource(fmt.Errorf("consistency with the destination's tree of %d: %w", held.Tree.N, err))
	}
	if got == held.Tree.Hash {
		return nil
	}
	proof, err := tlog.ProveTree(c.Tree.N, held.Tree.N, l.hashes)
	if err != nil {
		return asSource(err)
	}
	return newFork(c.Origin, string(held.Note), string(c.Note), proof, &got)
}

// listSource finds out what the source has, where there is something to find out and it can tell.
func (r *syncRun) listSource(ctx context.Context) error {
	lister, ok := r.From.(Lister)
	if !ok || bytes.Equal(r.before, r.data) && !r.deep {
		return nil
	}
	r.offered = map[string]bool{}
	r.src.requests.Add(1)
	for path, err := range lister.List(ctx, "") {
		if err != nil {
			return fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		r.offered[path] = true
	}
	return nil
}

// copy brings one stage's objects to the destination, copies of them at once.
func (r *syncRun) copy(ctx context.Context, s stage) error {
	var todo []syncItem
	seen := map[string]bool{}
	for _, it := range s.items {
		if !seen[it.path] && (r.deep || !r.have[it.path]) {
			todo = append(todo, it)
		}
		seen[it.path] = true
	}
	// Neighbours prove each other by the same tiles: in order, most of those are at hand.
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(copies)
	done := 0
	for _, it := range todo {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			if err := r.bring(ctx, it); err != nil {
				return fmt.Errorf("%s: %w", it.path, err)
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			if done++; r.Progress != nil {
				r.Progress(s.name, done, len(todo))
			}
			return nil
		})
	}
	return g.Wait()
}

// bring makes sure that the destination has one object.
func (r *syncRun) bring(ctx context.Context, it syncItem) error {
	write := r.dst.Create
	if r.have[it.path] {
		good, err := r.inspect(ctx, it)
		if good || err != nil || !r.Repair {
			return err
		}
		write = r.dst.Put
	}
	data, err := it.obtain(ctx)
	if IsAbsent(err) && it.optional {
		return nil
	}
	if err != nil {
		return asSource(err)
	}
	if err := write(ctx, NewTile(it.path, data)); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.out.Copied++
	r.out.Bytes += int64(len(data))
	switch {
	case r.have[it.path]:
		r.out.Repaired = append(r.out.Repaired, it.path)
	case r.before != nil && it.since <= r.beforeTree.N:
		r.out.Restored = append(r.out.Restored, it.path)
	}
	return nil
}

// inspect reads an object of the destination back and notes it when it is damaged.
func (r *syncRun) inspect(ctx context.Context, it syncItem) (good bool, err error) {
	data, err := r.dst.Get(ctx, it.path, it.limit)
	if err != nil && !IsAbsent(err) && !errors.Is(err, ErrTooLarge) {
		return false, err
	}
	if err == nil {
		err = it.check(data)
	}
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, ErrSource), errors.Is(err, ErrUnreachable), ctx.Err() != nil:
		return false, err // it could not be judged
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.out.Damaged = append(r.out.Damaged, it.path)
	return false, nil
}

// Lister is a Reader that can tell what it has; a web server cannot.
type Lister interface {
	List(ctx context.Context, prefix string) iter.Seq2[string, error]
}

// OpenCheckpoint verifies a signed note by whichever version of the chain can: the log key may have been rotated since.
func OpenCheckpoint(chain *transparency.TrustChain, note []byte) (transparency.Cosigned, error) {
	return openAny(chain, string(note))
}
