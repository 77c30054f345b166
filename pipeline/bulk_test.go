package pipeline_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/lab"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
)

func TestParseBulkRefuses(t *testing.T) {
	for _, c := range []struct{ data, want string }{
		{"", "f has no row"},
		{"# nothing\n\n", "f has no row"},
		{"a.example\n\x00\n", "f:2: this is not text in UTF-8"},
		{"a.example\n\xff\n", "f:2: this is not text in UTF-8"},
		{"a.example\n#" + strings.Repeat("x", 1024) + "\n", "f:2: a line of more than 1024 bytes"},
		{strings.Repeat("#\n", pipeline.MaxBulkBytes/2+1), "f: more than 4194304 bytes"},
		{strings.Repeat("a\n", 10_001), "f:10001: more than 10000 domains"},
	} {
		if rows, err := pipeline.ParseBulk("f", []byte(c.data)); !errors.Is(err, pipeline.ErrBulk) || !strings.HasSuffix(err.Error(), c.want) || rows != nil {
			t.Errorf("%.20q: %v", c.data, err)
		}
	}
}

// FuzzParseBulk: nothing panics, each row is a domain once or has a code, and what is left out reads back.
func FuzzParseBulk(f *testing.F) {
	f.Add([]byte("a.example\r\nB.example. # b\n\ufeffbücher.example\nnot a domain\na.example"))
	f.Add([]byte("_x.example\n192.0.2.1\n\x1b[2J.example\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		rows, err := pipeline.ParseBulk("f", data)
		if err != nil {
			return
		}
		seen := make(map[policy.Domain]bool)
		twice := 0
		for i, r := range rows {
			if len(r.Codes) == 0 && (r.Domain.IsZero() || seen[r.Domain]) {
				t.Fatalf("row %d: %+v", i, r)
			}
			seen[r.Domain] = true
			if r.Domain.IsZero() {
				continue
			}
			twice++
			rows[i].Codes = []string{"bulk.listed"}
		}
		out := pipeline.FormatBulkFailed(rows)
		if bytes.Count(out, []byte("\n")) != len(rows)+1 {
			t.Fatalf("%q", out)
		}
		again, err := pipeline.ParseBulk("f", out)
		if twice == 0 && errors.Is(err, pipeline.ErrBulk) {
			return
		}
		if err != nil || len(again) != twice {
			t.Fatalf("%v: %d rows of %d\n%s", err, len(again), twice, out)
		}
	})
}

// TestBulkVisitsEachServerOnce: 300 customers of a provider cost its servers as many visits as one does.
func TestBulkVisitsEachServerOnce(t *testing.T) {
	l, err := lab.Start(t.Context(), lab.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, host := range []string{"mx1.host.example", "mx2.host.example"} {
		err = errors.Join(err, l.AddHost(lab.Host{Name: host}))
	}
	var text strings.Builder
	for i := range 300 {
		name := fmt.Sprintf("c%03d.example", i)
		err = errors.Join(err, l.AddDomain(lab.Domain{Name: name, MX: []string{"mx1.host.example", "mx2.host.example"}}))
		fmt.Fprintln(&text, name)
	}
	if err != nil {
		t.Fatal(err)
	}
	rows, err := pipeline.ParseBulk("customers", []byte(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	roots, err := probe.ParseRoots(l.RootsPEM())
	if err != nil {
		t.Fatal(err)
	}
	p, err := probe.New(probe.Options{Resolver: l.Resolver(), AllowLoopback: true, SMTPPort: l.SMTPPort(), HTTPSPort: l.HTTPSPort(), Roots: roots})
	if err != nil {
		t.Fatal(err)
	}
	results, err := p.Probe(t.Context(), pipeline.Pending(rows))
	if err != nil {
		t.Fatal(err)
	}
	b, err := pipeline.SplitBulk("host", rows, results, 0, nil)
	if err != nil || len(b.In()) != 300 || len(b.Out()) > 0 || b.Unanswered || len(b.Policy.MXs) != 2 {
		t.Fatalf("%v: %d in, %v out", err, len(b.In()), b.Out())
	}
	for _, host := range []string{"mx1.host.example", "mx2.host.example"} {
		if s, err := l.Stats(host); err != nil || s.Sessions > 3 || s.Sessions < 1 {
			t.Errorf("%s was visited %d times, %v", host, s.Sessions, err)
		}
	}
	// The order of rows decides nothing.
	slices.Reverse(rows)
	back, err := pipeline.SplitBulk("host", rows, results, 0, nil)
	if err != nil || !back.Policy.Equal(b.Policy) {
		t.Errorf("%v %v", err, back.Policy)
	}
}
