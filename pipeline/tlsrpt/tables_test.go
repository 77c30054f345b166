package tlsrpt_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	intake "github.com/starttls-everywhere/policylist/pipeline/tlsrpt"
	"github.com/starttls-everywhere/policylist/pipeline/tlsrpt/cells"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// listed is a list of all domains whose names begin so.
func listed(prefix string) cells.Listed {
	return func(d policy.Domain) (string, bool) { return d.String(), strings.HasPrefix(d.String(), prefix) }
}

// crowd contributes, so many of them, a day's sessions with a domain, on the day before the clock's.
func (w *world) crowd(n int, e tlsrpt.Contributed) {
	w.t.Helper()
	yesterday := tlsrpt.DayOf(w.clock.now()) - 1
	for i := range n {
		c := tlsrpt.Contribution{ID: fmt.Sprintf("%032x", i), Day: yesterday, Entries: []tlsrpt.Contributed{e}}
		if err := w.store.Contribute(w.t.Context(), domain(w.t, fmt.Sprintf("op%d.example", i)), c); err != nil {
			w.t.Fatal(err)
		}
	}
}

// names are the files of a folder, "" for none.
func names(t *testing.T, folder string) string {
	t.Helper()
	all, err := intake.TableNames(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

// TestTablesOverMonths: tables come when they are due and never change; a month's rows are those of the month before; and when a
// month's last table is made and its last contribution may have come, its secret goes.
func TestTablesOverMonths(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.clock.t = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
	folder := filepath.Join(t.TempDir(), "tables")
	fault := tlsrpt.Contributed{Domain: domain(t, "listed.example"), Type: tlsrpt.STS, Successful: 100, Failed: 100,
		Details: []tlsrpt.ContributedDetail{{Result: tlsrpt.CertificateExpired, MX: tlsrpt.ListedPattern, Failed: 100}}}
	var made []string
	for day := 5; day <= 31+28+14; day++ {
		if day == 5 || day%7 == 3 {
			w.crowd(24, fault)
		}
		tables, err := w.store.MakeTables(t.Context(), folder, listed("listed."))
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range tables {
			_, ok := table.Row(domain(t, "listed.example"))
			made = append(made, fmt.Sprintf("%s on %s: %v", table.Week, w.clock.now().Format(time.DateOnly), ok))
		}
		if _, err := w.store.Prune(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err = os.Stat(filepath.Join(w.dir, "months", "2026-01"))
		if open := err == nil; open != (day <= 31+4) {
			t.Errorf("on day %d the secret of January is there: %v", day, open)
		}
		w.clock.pass(24 * time.Hour)
	}
	want := []string{
		// Nobody was there in December, so January has no rows either.
		"2025-12-08 on 2026-01-05: false", "2025-12-15 on 2026-01-05: false", "2025-12-22 on 2026-01-05: false",
		"2026-01-01 on 2026-01-12: false", "2026-01-08 on 2026-01-19: false", "2026-01-15 on 2026-01-26: false", "2026-01-22 on 2026-02-02: false",
		"2026-02-01 on 2026-02-12: true", "2026-02-08 on 2026-02-19: true", "2026-02-15 on 2026-02-26: true", "2026-02-22 on 2026-03-05: true",
		"2026-03-01 on 2026-03-12: true",
	}
	if !slices.Equal(made, want) {
		t.Errorf("made\n%s\nwant\n%s", strings.Join(made, "\n"), strings.Join(want, "\n"))
	}
	path := filepath.Join(folder, "2026-02-22.json")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	table, err := cells.Parse(before)
	if err != nil {
		t.Fatal(err)
	}
	if c, _ := table.Row(domain(t, "listed.example")); c.Of(tlsrpt.ClassCertificate) != cells.Many {
		t.Errorf("%v", c)
	}
	if _, err := w.store.MakeTables(t.Context(), folder, listed("other.")); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("a table that was made changed: %v", err)
	}
	if name, newest, err := intake.NewestTable(folder); name != "2026-03-01.json" || err != nil || len(newest) == 0 {
		t.Errorf("%s %v", name, err)
	}
	left, err := os.ReadDir(filepath.Join(w.dir, "chosen"))
	if err != nil || len(left) != 2 {
		t.Errorf("%d choices are left: %v", len(left), err)
	}
}

// TestTablesAfterAnAbsence: nobody was there for months; what is too late is not made, and a month without its secret has no rows.
func TestTablesAfterAnAbsence(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.clock.t = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
	folder := filepath.Join(t.TempDir(), "tables")
	w.crowd(20, tlsrpt.Contributed{Domain: domain(t, "listed.example"), Type: tlsrpt.STS, Successful: 100})
	w.clock.pass(50 * 24 * time.Hour) // to February 24
	if _, err := w.store.MakeTables(t.Context(), folder, listed("listed.")); err != nil {
		t.Fatal(err)
	}
	if got := names(t, folder); got != "2026-02-01.json 2026-02-08.json" {
		t.Errorf("%s", got)
	}
	if _, _, err := intake.NewestTable(filepath.Join(folder, "nowhere")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := w.store.CloseMonth(t.Context(), cells.MonthOf(day(t, "2026-02-01"))); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(w.dir, "chosen")); err != nil {
		t.Fatal(err)
	}
	w.clock.pass(3 * 24 * time.Hour)
	if tables, err := w.store.MakeTables(t.Context(), folder, listed("listed.")); err != nil || len(tables) != 1 || len(tables[0].Domains) > 0 {
		t.Errorf("%v %v", tables, err)
	}
}

// TestTablesOfReporters: what enrolled domains pass on needs three authenticated reporters, in any month.
func TestTablesOfReporters(t *testing.T) {
	w := newWorld(t, intake.Options{})
	w.enrolled("a.example", "b.example", "c.example")
	for i, who := range []string{"x.example", "y.example", "z.example", ""} {
		for _, d := range []string{"a.example", "b.example", "c.example"} {
			who := who
			switch {
			case d == "b.example" && who == "z.example":
				who = "" // the third of b.example is nobody proven
			case d == "c.example" && who == "z.example":
				who = "mail.x.example" // and that of c.example has spoken before
			}
			if _, err := w.store.Add(t.Context(), document(t, reportText("Org", fmt.Sprint(d, i), 60, 0, d), who)); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.clock.pass(14 * 24 * time.Hour)
	folder := filepath.Join(t.TempDir(), "tables")
	if _, err := w.store.MakeTables(t.Context(), folder, listed("")); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(folder, "2026-01-08.json"))
	if err != nil {
		t.Fatal(err)
	}
	table, err := cells.Parse(data)
	if err != nil || len(table.Domains) != 1 || table.Domains[0].Name != "a.example" {
		t.Errorf("%s %v", data, err)
	}
}

// TestOneOrganisationOneContributor: names below one registered domain are one contributor.
func TestOneOrganisationOneContributor(t *testing.T) {
	w := newWorld(t, intake.Options{})
	c := tlsrpt.Contribution{ID: strings.Repeat("0", 32), Day: tlsrpt.DayOf(w.clock.now()) - 1}
	for _, name := range []string{"op.example", "other.example"} {
		if err := w.store.Contribute(t.Context(), domain(t, name), c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"mx1.op.example", "a.b.op.example", "op.example"} {
		if err := w.store.Contribute(t.Context(), domain(t, name), c); !errors.Is(err, intake.ErrSecond) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
