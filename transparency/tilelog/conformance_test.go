package tilelog_test

import (
	"context"
	"errors"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/transparency/logtest"
	"github.com/starttls-everywhere/policylist/transparency/tilelog"
)

func TestConformance(t *testing.T) {
	logtest.Run(t, func(*testing.T) logtest.Open {
		return func(dir string) (logtest.Log, error) { return tilelog.Open(dir) }
	})
}

// extended is a log that grows by Extend, whose caller agrees to everything.
type extended struct{ *tilelog.Log }

func (l extended) Append(ctx context.Context, start int64, leaves [][]byte) (tlog.Tree, error) {
	return l.Extend(ctx, start, leaves, func(tlog.Tree) error { return nil })
}

func TestExtendMakesWhatAppendMakes(t *testing.T) {
	logtest.Run(t, func(*testing.T) logtest.Open {
		return func(dir string) (logtest.Log, error) {
			l, err := tilelog.Open(dir)
			return extended{l}, err
		}
	})
}

// TestDisagreementChangesNothing: agree is shown the tree before it exists, and can stop it.
func TestDisagreementChangesNothing(t *testing.T) {
	l, err := tilelog.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	leaves, no := logtest.Leaves(0, 300), errors.New("no")
	before := l.Tree()
	var shown tlog.Tree
	disagree := func(tree tlog.Tree) error { shown = tree; return no }
	if _, err := l.Extend(t.Context(), 0, leaves, disagree); !errors.Is(err, no) {
		t.Fatalf("got %v", err)
	}
	if l.Tree() != before {
		t.Errorf("the tree is %v", l.Tree())
	}
	if tree, err := l.Append(t.Context(), 0, leaves); err != nil || tree != shown {
		t.Errorf("shown %v, Trillian computes %v (%v)", shown, tree, err)
	}
	if _, err := l.Extend(t.Context(), 0, leaves, disagree); err != nil {
		t.Errorf("asked although nothing grew: %v", err)
	}
}
