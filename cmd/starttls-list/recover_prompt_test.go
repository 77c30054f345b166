package main

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/pipeline"
)

// On a terminal recover asks for the number of the newest release; everything else writes nothing.
func TestRecoverAsksOnATerminal(t *testing.T) {
	o := newOperator(t)
	o.release(0)
	o.release(0)
	if err := os.RemoveAll(o.path(pipeline.StateDir)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		typed string
		code  int
	}{{"yes\n", exitUsage}, {"\n", exitUsage}, {"1\n", exitUsage}, {"2\n", exitPass}} {
		screen, tty := terminal(t)
		defer tty.Close()
		if _, err := screen.WriteString(c.typed); err != nil {
			t.Fatal(err)
		}
		var out, said bytes.Buffer
		code := run(t.Context(), []string{"recover", "--config", o.path(configName)}, tty, &out, &said)
		if code != c.code || !strings.Contains(said.String(), "Type the number of the newest release, 2, to write the state: ") {
			t.Errorf("%q: exit code %d\n%s%s", c.typed, code, out.String(), said.String())
		}
		if _, err := os.Stat(o.path("state/outbox/2")); (err == nil) != (code == exitPass) {
			t.Errorf("%q: the state: %v", c.typed, err)
		}
	}
}
