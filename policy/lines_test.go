package policy_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
)

// randomEdits changes some of l and adds some: at the ends, in the middle, side by side.
func randomEdits(t *testing.T, l policy.List, rnd *rand.Rand) []policy.Edit {
	t.Helper()
	var edits []policy.Edit
	for _, e := range l.Entries() {
		switch rnd.IntN(4) {
		case 0:
			edits = append(edits, policy.Edit{Domain: e.Domain})
		case 1:
			next := entry(t, e.Domain.String(), policy.Mode(1+rnd.IntN(2)), fmt.Sprintf("mx%d.%s", rnd.IntN(100), e.Domain), "."+e.Domain.String()).Policy
			if !next.Equal(e.Policy) {
				edits = append(edits, policy.Edit{Domain: e.Domain, Policy: &next})
			}
		}
	}
	for range rnd.IntN(5) {
		e := entry(t, strings.Repeat("n", rnd.IntN(30))+fmt.Sprint(rnd.IntN(1000))+".example", policy.Enforce, "mx.example")
		same := func(x policy.Edit) bool { return x.Domain == e.Domain }
		if _, listed := l.Lookup(e.Domain); !listed && !slices.ContainsFunc(edits, same) {
			edits = append(edits, policy.Edit{Domain: e.Domain, Policy: &e.Policy})
		}
	}
	slices.SortFunc(edits, func(a, b policy.Edit) int { return strings.Compare(a.Domain.String(), b.Domain.String()) })
	return edits
}

// TestLinesAreTheList: whatever the edits, the kept lines give the file that formatting every domain gives, and the
// lines before stay as they were.
func TestLinesAreTheList(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var l policy.List
	var lines policy.Lines
	for i := range 500 {
		edits := randomEdits(t, l, rnd)
		next, err := l.Apply(edits)
		if err != nil {
			t.Fatal(err)
		}
		after := lines.Apply(edits)
		sameFile(t, i, l, lines)
		sameFile(t, i, next, after)
		sameFile(t, i, next, next.Lines())
		if l, lines = next, after; i%100 == 99 {
			l, lines = policy.List{}, policy.Lines{}
		}
	}
}

func sameFile(t *testing.T, round int, l policy.List, lines policy.Lines) {
	t.Helper()
	want, err := l.Bytes(header())
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	size, digest, err := lines.Write(&got, header())
	if err != nil || got.String() != string(want) || size != int64(len(want)) || digest != sha256.Sum256(want) {
		t.Fatalf("round %d: %v, %d bytes\n%s\nwant\n%s", round, err, size, got.Bytes(), want)
	}
	parts, err := lines.Parts(header())
	if err != nil || !bytes.Equal(slices.Concat(parts[:]...), want) {
		t.Fatalf("round %d: the parts are not the file: %v", round, err)
	}
}

// TestLinesRefuseHeader: what List.Write refuses.
func TestLinesRefuseHeader(t *testing.T) {
	h := header()
	h.Author = "né"
	if _, err := (policy.Lines{}).Parts(h); !errors.Is(err, policy.ErrList) {
		t.Error(err)
	}
	if _, _, err := (policy.Lines{}).Write(&bytes.Buffer{}, h); !errors.Is(err, policy.ErrList) {
		t.Error(err)
	}
	if _, _, err := (policy.Lines{}).Write(full{}, header()); !errors.Is(err, errFull) {
		t.Error(err)
	}
}

var errFull = errors.New("full")

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errFull }
