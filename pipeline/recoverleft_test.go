package pipeline_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror"
)

// TestRecoverNamesWhatWasLeft: a publisher died while it spread tiles, of which the entries had not come yet. Nobody can
// take them along, and no release gets past them; so recover says what to delete, and then the list goes on.
func TestRecoverNamesWhatWasLeft(t *testing.T) {
	o := newOperator(t, "public")
	o.Observer = passing{}
	o.release()
	o.news(1)
	o.release()
	size := o.client("public", mirror.Auto)
	log := updated(t, size).LogSize
	left := fmt.Sprintf("tile/0/000.p/%d", log+1)
	held := read(t, filepath.Join(o.path("public"), fmt.Sprintf("tile/0/000.p/%d", log)))
	setFile(t, filepath.Join(o.path("public"), left), held+strings.Repeat("x", 32))
	o.lose()
	out := o.recovered()
	if out.Release != 2 || len(out.Unpublished) != 0 || !strings.Contains(strings.Join(out.Warnings, "\n"), "never signed: "+left+";") {
		t.Fatalf("%q, %+v", out.Warnings, out)
	}
	o.Publisher = o.publisher("public")
	o.Observer = passing{}
	if out, err := o.Release(t.Context()); err == nil && out.Mirrors[0].Err == nil {
		t.Fatal("the release wrote over what it did not know")
	}
	if err := os.Remove(filepath.Join(o.path("public"), left)); err != nil {
		t.Fatal(err)
	}
	if next := o.release(); next.Leaf().Release != 3 || next.Mirrors[0].Err != nil {
		t.Fatalf("%+v %+v", next.Leaf(), next.Mirrors)
	}
	o.clean("public")
	o.lose()
	if out := o.recovered(); len(out.Warnings) > 1 || strings.Contains(strings.Join(out.Warnings, ""), "never signed") {
		t.Errorf("%q", out.Warnings)
	}
}
