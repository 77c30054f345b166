package tlsrpt_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

var update = flag.Bool("update", false, "write what the reader says of testdata/reports into them")

// TestReports reads the reports in testdata/reports, which are of all the shapes that senders and gateways give them, and compares
// tallies and notes with what stands behind each.
func TestReports(t *testing.T) {
	files, err := filepath.Glob("testdata/reports/*.txtar")
	if err != nil || len(files) < 6 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, path := range files {
		archive, err := txtar.ParseFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(archive.Files); i += 2 {
			document, want := archive.Files[i], &archive.Files[i+1]
			t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar")+"/"+document.Name, func(t *testing.T) {
				if want.Name != document.Name+".want" {
					t.Fatalf("%s has %s in the place of %s.want", path, want.Name, document.Name)
				}
				got := describe(document.Name, document.Data)
				if strings.ContainsFunc(got, func(r rune) bool { return r != '\n' && unprintable(r) }) {
					t.Errorf("hostile text came through: %q", got)
				}
				if *update {
					want.Data = []byte(got)
				} else if got != string(want.Data) {
					t.Errorf("got\n%swant\n%s", got, want.Data)
				}
			})
		}
		if *update {
			if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// describe says what a report counts and what was let pass.
func describe(name string, document []byte) string {
	r, err := tlsrpt.Read(document, tlsrpt.DefaultLimits())
	if err != nil {
		return fmt.Sprintf("refused: %v\n", err)
	}
	r.Attribute(tlsrpt.Hint{FileName: name})
	var b strings.Builder
	if tallies := tlsrpt.Tallies(r); len(tallies) > 0 {
		fmt.Fprintln(&b, show(tallies))
	} else {
		fmt.Fprintln(&b, "it counts nothing")
	}
	for i, p := range r.Policies {
		for j, d := range p.Details {
			if d.SendingIP.IsValid() || d.ReceivingIP.IsValid() || d.ReceivingMX != "" || d.Information != "" || d.Reason != "" {
				line := fmt.Sprintf("detail %d.%d: from %s to %s %s %s %s", i, j, d.SendingIP, d.ReceivingIP, d.ReceivingMX, d.Information, d.Reason)
				fmt.Fprintln(&b, strings.TrimSpace(line))
			}
		}
		if len(p.MXHosts)+len(p.Strings) > 0 {
			fmt.Fprintf(&b, "policy %d: mx %q, text %q\n", i, p.MXHosts, p.Strings)
		}
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&b, "%s %s\n", n.Code, n)
	}
	return b.String()
}
