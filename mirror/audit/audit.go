// Package audit replays a mirror from the log's first entry and compares everything that the mirror serves with what
// the entries say:
//
//   - the trust versions follow one another from the one that the auditor holds;
//   - every tile is what the entries hash to, and the root is the one that the log signed;
//   - every release is judged by mirror.Replay, the rules that clients apply, which rebuilds every policy.json ever
//     published and compares its digest; entries without effect are listed;
//   - release proofs, lists, evidence, policy.json and the two pointers are those of the releases in the log;
//   - nothing else is there, where the mirror can be listed.
//
// What is wrong becomes a finding with a stable code. An error means that the mirror could not be judged. Memory is
// bounded by a few bundles and the current list, whatever the log's length.
//
//	a := audit.Audit{Mirror: reader, Trust: trust}
//	report, err := a.Run(ctx)
package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sync/errgroup"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
)

var (
	// ErrUnreachable means that the mirror gave no answer to something: the audit decides nothing.
	ErrUnreachable = errors.New("the mirror cannot be read")
	// ErrTrustTooNew means that the log begins under an older trust version than the auditor's.
	ErrTrustTooNew = errors.New("the log begins under an older trust version")
)

// Audit is one audit to be made.
type Audit struct {
	Mirror mirror.Reader       // one that is a mirror.Lister is also searched for what does not belong there
	Trust  *transparency.Trust // what the auditor trusts, usually version 1

	// Lists is given every valid release, with the list that the log's entries make of it, in their order; nil for no
	// interest. Its error ends the audit.
	Lists func(*mirror.Release) error

	// Progress is called now and then with the stage, what is done of it and what there is to do; nil for never.
	Progress func(stage string, done, total int)
}

// Report is what an audit found.
type Report struct {
	Origin   string           `json:"origin"`
	Release  int64            `json:"release"`  // newest valid one
	Size     int64            `json:"size"`     // entries under the checkpoint
	Root     string           `json:"root"`     // base64, as in the checkpoint
	Replayed int64            `json:"replayed"` // entries that were judged
	Releases int              `json:"releases"` // valid ones, each list rebuilt
	Trust    int64            `json:"trust"`    // newest version
	Objects  int64            `json:"objects"`  // read and compared
	Requests int64            `json:"requests"`
	Findings []policy.Finding `json:"findings"`
	More     int              `json:"more"` // entries without effect beyond those among the findings

	checkpoint transparency.Cosigned // zero when there is nothing to audit
	newest     *mirror.ReleaseLeaf   // under it, nil if there is none
}

// parallel bounds the requests under way. A bundle may have 16 MiB.
const parallel = 8

// Run audits. The report is usable next to an error: what was found until then is true.
func (a *Audit) Run(ctx context.Context) (Report, error) {
	r := &run{Audit: a, expected: map[string]bool{}, headers: map[headerFault]faultyObjects{}}
	err := r.all(ctx)
	r.findHeaders()
	r.report.Requests = r.requests.Load()
	r.report.Objects = r.objects.Load()
	r.report.newest = r.newest
	slices.SortFunc(r.report.Findings, policy.Finding.Compare)
	r.report.Findings = slices.Compact(r.report.Findings)
	return r.report, err
}

// run is the state of one audit. What one step sets, the next ones only read.
type run struct {
	*Audit
	chain    *transparency.TrustChain
	tree     tlog.Tree // under the checkpoint
	note     []byte    // of the checkpoint
	newest   *mirror.ReleaseLeaf
	undated  bool            // newest was not known during the replay: lists and evidence wait to be compared
	listed   map[string]bool // nil where the mirror cannot be listed
	releases []released
	rebuilt  *mirror.Release // the last of them, with its list
	unpacker mirror.Unpacker
	broken   bool // the replay stopped early: what comes later in the log is unknown

	requests, objects atomic.Int64

	mu       sync.Mutex
	report   Report
	expected map[string]bool // paths that belong on the mirror
	headers  map[headerFault]faultyObjects
}

// released is a valid release of the log.
type released struct {
	leaf *mirror.ReleaseLeaf
	raw  []byte
	tree tlog.Tree // which it ends
}

func (r *run) all(ctx context.Context) error {
	if err := r.list(ctx); err != nil {
		return err
	}
	if err := r.followTrust(ctx); err != nil {
		return err
	}
	if ok, err := r.openPointers(ctx); !ok || err != nil {
		return err
	}
	if err := r.replay(ctx); err != nil {
		return err
	}
	if err := r.checkObjects(ctx); err != nil {
		return err
	}
	r.findUnexpected()
	return nil
}

func (r *run) find(id, path, summary string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Findings = append(r.report.Findings, finding(id, path, summary))
}

// expect notes that path belongs on the mirror.
func (r *run) expect(path string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.expected[path] = true
}

// read returns an object. Absent and too long ones are findings of the given codes, and ok is false.
func (r *run) read(ctx context.Context, path string, limit int64, missing, mismatch string) (data []byte, ok bool, err error) {
	r.expect(path)
	data, err = r.get(ctx, path, limit)
	switch {
	case err == nil:
		r.objects.Add(1)
		return data, true, nil
	case mirror.IsAbsent(err):
		if missing != "" {
			r.find(missing, path, "")
		}
		return nil, false, nil
	case errors.Is(err, mirror.ErrTooLarge):
		r.find(mismatch, path, fmt.Sprintf("longer than %d bytes", limit))
		return nil, false, nil
	}
	return nil, false, fmt.Errorf("%w: %w", ErrUnreachable, err)
}

func (r *run) list(ctx context.Context) error {
	l, ok := r.Mirror.(mirror.Lister)
	if !ok {
		return nil
	}
	r.listed = map[string]bool{}
	r.requests.Add(1)
	for path, err := range l.List(ctx, "") {
		if err != nil {
			return fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		r.listed[path] = true
	}
	return nil
}

// bounded is a group whose Go waits while parallel functions run.
func bounded(ctx context.Context) (*errgroup.Group, context.Context) {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	return g, ctx
}
