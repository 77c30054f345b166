package pipeline_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror"
)

// TestRecoverLeavesTheKeylessBundle: a mirror's keyless bundle is signed by whoever its certificate names, and nobody here
// can tell whether that is the publisher. So the state that is rebuilt has none: the release that it completes takes down
// what stands on the mirrors, a stranger's bundle as well as its own, and the next release has one again.
func TestRecoverLeavesTheKeylessBundle(t *testing.T) {
	for _, whose := range []string{"own", "a stranger's"} {
		o := newOperator(t, "public")
		o.Keyless = &byNobody{t: t}
		o.release()
		before, err := os.ReadFile(o.path("public/checkpoint"))
		if err != nil {
			t.Fatal(err)
		}
		pointer := o.pointer()
		o.news(1)
		o.release()
		// The publisher died between the list's bundles and the checkpoint, and its state with it.
		o.write("public/"+mirror.PointerPath, string(pointer))
		o.write("public/"+mirror.CheckpointPath, string(before))
		if whose != "own" {
			list, err1 := os.ReadFile(o.path("public/policy.json"))
			bundle, err2 := (&byNobody{t: t}).Bundle(t.Context(), list)
			if err := errors.Join(err1, err2); err != nil {
				t.Fatal(err)
			}
			o.write("public/"+mirror.ListKeylessPath, string(bundle))
		}
		o.lose()
		o.Publisher = o.publisher("public")
		out := o.recovered()
		if !strings.Contains(strings.Join(out.Lost, "\n"), "keyless") {
			t.Errorf("nobody is told: %q", out.Lost)
		}
		o.now = o.now.Add(time.Hour)
		o.release()
		if got := o.onMirror("public"); got != nil {
			t.Errorf("%s bundle stays", whose)
		}
		o.Keyless = &byNobody{t: t}
		o.release()
		if got := o.onMirror("public"); got == nil {
			t.Error("the next release has none")
		}
		o.clean("public")
	}
}
