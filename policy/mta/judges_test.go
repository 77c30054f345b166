package mta

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
	"github.com/starttls-everywhere/policylist/policy"
)

// tables writes l as text and as a database of the same name with ".cdb", and returns the text's path.
func tables(t testing.TB, l policy.List, o Options) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "table")
	text, err1 := os.Create(path)
	file, err2 := os.Create(path + ".cdb")
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	c := NewCDB(file)
	_, err := Postfix(io.MultiWriter(text, c.Lines()), l.All(), o)
	for _, err := range []error{err, c.Close(), text.Close(), file.Close()} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// output runs a judge; it must be content.
func output(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil || complaints.Len() > 0 {
		t.Fatalf("%s: %v\n%s%s", cmd, err, out, complaints.Bytes())
	}
	return string(out)
}

// Postfix finds in our database every line of the text, and in its own the same; what is in neither it does not find.
func TestPostfixReadsOurCDB(t *testing.T) {
	postfix := tool.NewPostfix(t, "cdb")
	l := many(t, 300)
	path := tables(t, l, Options{Dialect: Floor, Header: header})
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := table(t, string(text))
	var keys strings.Builder
	for d := range l.All() {
		keys.WriteString(d.String() + "\n")
	}
	keys.WriteString("unlisted.example\n.example\nexample\nD0000001.EXAMPLE\n")
	found := func() map[string]string {
		cmd := postfix.Command(t.Context(), t, "postmap", "-q", "-", "cdb:"+path)
		cmd.Stdin = strings.NewReader(keys.String())
		got := map[string]string{}
		for line := range strings.Lines(output(t, cmd)) {
			key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
			got[key] = value
		}
		return got
	}
	ours := found()
	for key, value := range lines {
		if ours[key] != value {
			t.Errorf("%s: Postfix finds %q, want %q", key, ours[key], value)
		}
	}
	// Postfix folds the case of keys before it asks a file.
	if value, ok := ours["D0000001.EXAMPLE"]; ok && value == lines["d0000001.example"] {
		delete(ours, "D0000001.EXAMPLE")
	}
	if len(ours) != len(lines) {
		t.Errorf("Postfix finds %d of %d keys", len(ours), len(lines))
	}
	output(t, postfix.Command(t.Context(), t, "postmap", "cdb:"+path))
	theirs := found()
	delete(theirs, "D0000001.EXAMPLE")
	if len(theirs) != len(lines) {
		t.Errorf("its own database has %d of %d keys", len(theirs), len(lines))
	}
}

// tinycdb dumps our database record by record, and its statistics walk every hash table.
func TestTinycdbReadsOurCDB(t *testing.T) {
	tree := tool.Tree(t, "tinycdb")
	path := tables(t, many(t, 300), Options{Dialect: Floor, Header: header})
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := table(t, string(text))
	cdb := func(args ...string) string {
		return output(t, tool.Command(t.Context(), t, tree, "usr/bin/cdb", args...))
	}
	var want []string
	for key, value := range lines {
		want = append(want, key+" "+value)
	}
	got := strings.Split(strings.TrimSpace(cdb("-d", "-m", path+".cdb")), "\n")
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("it dumps %d records, want %d:\n%s", len(got), len(want), got[0])
	}
	for key := range example(t).All() {
		err := tool.Command(t.Context(), t, tree, "usr/bin/cdb", "-q", path+".cdb", key.String()).Run()
		if err == nil {
			t.Errorf("%s is found, but not in the table", key)
		}
	}
	if stat := cdb("-s", path+".cdb"); !strings.Contains(stat, "number of records: "+fmt.Sprint(len(lines))) {
		t.Errorf("its statistics:\n%s", stat)
	}
	// The judge sees damage.
	data, err := os.ReadFile(path + ".cdb")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".cdb", data[:len(data)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := tool.Command(t.Context(), t, tree, "usr/bin/cdb", "-s", path+".cdb").CombinedOutput(); err == nil {
		t.Errorf("half of a database is fine to it:\n%s", out)
	}
}
