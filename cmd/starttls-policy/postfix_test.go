package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
	"github.com/starttls-everywhere/policylist/policy/mta"
)

// server is a machine with an unpacked Postfix in front of its PATH, and a list on a mirror.
type server struct {
	t           *testing.T
	dir         string
	postfix     tool.Postfix
	fingerprint string
}

func newServer(t *testing.T, plugins ...string) server {
	t.Helper()
	s := server{t: t, dir: t.TempDir(), postfix: tool.NewPostfix(t, plugins...)}
	bin := filepath.Join(s.dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	s.postfix.Wrap(t.Context(), t, bin, "postconf", "postmap")
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	var err error
	s.fingerprint, err = publish(t.Context(), filepath.Join(s.dir, "operator"), filepath.Join(s.dir, "public"), "2026-03-01T12:00:00Z", []byte(transcriptEntries))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// run runs a command on the day of the release.
func (s server) run(args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	var out, errors bytes.Buffer
	now := time.Date(2026, 3, 1, 13, 0, 0, 0, time.UTC)
	args = append(args, "--config", filepath.Join(s.dir, "c.toml"))
	code = run(context.Background(), args, world{&out, &errors, func() time.Time { return now }})
	return code, out.String(), errors.String()
}

func (s server) join(args ...string) (joinReport, string) {
	s.t.Helper()
	join := append([]string{"join", filepath.Join(s.dir, "public"), "--fingerprint", s.fingerprint, "--name", "example",
		"--state", filepath.Join(s.dir, "var")}, args...)
	code, text, complaint := s.run(join...)
	if code != 0 {
		s.t.Fatalf("exit %d: %s", code, complaint)
	}
	_, data, _ := s.run(append(join, "--json")...)
	var r joinReport
	if err := json.Unmarshal([]byte(data), &r); err != nil {
		s.t.Fatal(err)
	}
	return r, text
}

// ask is what this Postfix finds.
func (s server) ask(key, table string) string {
	s.t.Helper()
	out, err := s.postfix.Command(s.t.Context(), s.t, "postmap", "-q", key, table).CombinedOutput()
	if err != nil && len(out) > 0 {
		s.t.Errorf("%s in %s: %v: %s", key, table, err, out)
	}
	return strings.TrimSpace(string(out))
}

// join takes a type that this Postfix has, says which lines to add, and Postfix, with these lines, finds the policies.
func TestJoinChoosesATypeThatPostfixHas(t *testing.T) {
	for _, c := range []struct {
		plugins []string
		want    tableType
	}{{nil, "hash"}, {[]string{"lmdb"}, "lmdb"}, {[]string{"cdb", "lmdb"}, "cdb"}} {
		t.Run(string(c.want), func(t *testing.T) {
			s := newServer(t, c.plugins...)
			r, text := s.join()
			table := string(c.want) + ":" + filepath.Join(s.dir, "var", defaultTable)
			if r.Postfix.Type != string(c.want) || r.MainCF.Warning != "" || r.MainCF.Version != "3.7.11" && !strings.HasPrefix(r.MainCF.Version, "3.") {
				t.Fatalf("type %s, %+v", r.Postfix.Type, r.MainCF)
			}
			if r.MainCF.File != s.postfix.Config+"/main.cf" || r.MainCF.Lines[0] != "smtp_tls_policy_maps = "+table ||
				!strings.Contains(text, "Add to "+r.MainCF.File+" (Postfix "+r.MainCF.Version+")") {
				t.Errorf("%+v\n%s", r.MainCF, text)
			}
			// The site's page and USAGE.md show these lines, in the folder that is usual.
			if got := strings.ReplaceAll(strings.Join(r.MainCF.Lines, "\n"), filepath.Join(s.dir, "var"), mta.Folder); got != strings.Join(mta.MainTable(string(c.want)), "\n") {
				t.Errorf("join prints\n%s\nand the pages show %q", got, mta.MainTable(string(c.want)))
			}
			main, err := os.OpenFile(r.MainCF.File, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := main.WriteString(strings.Join(r.MainCF.Lines, "\n") + "\n"); err != nil {
				t.Fatal(err)
			}
			main.Close()
			if got := s.ask("a.example", table); got != "secure match=mx1.a.example:mx2.a.example servername=hostname protocols=>=TLSv1.2" {
				t.Errorf("Postfix finds %q", got)
			}
			if got := s.ask("c.example", table); got != "" {
				t.Errorf("a testing policy gives %q", got)
			}
			if again, text := s.join(); len(again.MainCF.Lines) > 0 || !strings.Contains(text, "has everything already") {
				t.Errorf("with the lines in place: %+v\n%s", again.MainCF, text)
			}
		})
	}
}

// A type that this Postfix does not have, or a path that main.cf would take apart, is never recommended.
func TestNoLineThatWouldDeferAllMail(t *testing.T) {
	s := newServer(t)
	s.join()
	config := filepath.Join(s.dir, "c.toml")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	// The fact behind it.
	out, err := s.postfix.Command(t.Context(), t, "postmap", "-q", "a.example", "lmdb:"+filepath.Join(s.dir, "var", defaultTable)).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "unsupported dictionary type") {
		t.Errorf("Postfix about a type that it does not have: %v: %s", err, out)
	}
	for _, edit := range [][3]string{
		{`type = "hash"`, `type = "btree"`, ""},
		{`type = "hash"`, "type = \"lmdb\"\npostmap = false", "no table type lmdb"},
		{defaultTable, "a table", "choose another path"},
		{defaultTable, "a,table", "choose another path"},
		{defaultTable, "a{table", "choose another path"},
	} {
		changed := strings.Replace(string(text), edit[0], edit[1], 1)
		if strings.Contains(edit[1], "postmap") {
			changed = strings.Replace(changed, "postmap = true\n", "", 1)
		}
		if err := os.WriteFile(config, []byte(changed), 0o644); err != nil {
			t.Fatal(err)
		}
		r, text := s.join()
		switch {
		case edit[2] == "":
			if r.MainCF.Warning != "" || len(r.MainCF.Lines) == 0 {
				t.Errorf("%s: %+v", edit[1], r.MainCF)
			}
		case !strings.Contains(r.MainCF.Warning, edit[2]), len(r.MainCF.Lines) > 0, !strings.Contains(text, "Do NOT add the table"):
			t.Errorf("%s: %+v\n%s", edit[1], r.MainCF, text)
		}
	}
}

// A Postfix that loses the type, say with a package that is removed, is noticed by the next update and by status: cdb is
// written without it, so nothing else would fail here, while all mail waits there.
func TestPostfixThatLosesItsTableType(t *testing.T) {
	s := newServer(t, "cdb")
	s.join()
	if code, out, _ := s.run("status"); code != 0 || strings.Contains(out, "NOT USABLE") {
		t.Fatalf("exit %d: %s", code, out)
	}
	if err := os.WriteFile(filepath.Join(s.postfix.Config, "dynamicmaps.cf"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := s.run("status"); code != exitFailed || !strings.Contains(out, "is NOT USABLE: this Postfix has no table type cdb") {
		t.Errorf("status: exit %d: %s", code, out)
	}
	if _, out, _ := s.run("update"); !strings.Contains(out, "WARNING: this Postfix has no table type cdb") {
		t.Errorf("update: %s", out)
	}
}

// The value for main.cf keeps what is there, whatever it looks like, and changes only the table's own type.
func TestPolicyMapsLine(t *testing.T) {
	p := postfixConfig{Map: "/var/lib/t", Type: "cdb"}
	for old, want := range map[string]string{
		"":                                      "cdb:/var/lib/t",
		"cdb:/var/lib/t":                        "",
		"hash:/etc/mine, cdb:/var/lib/t":        "",
		"hash:/etc/mine":                        "hash:/etc/mine, cdb:/var/lib/t",
		"hash:/var/lib/t":                       "cdb:/var/lib/t",
		"hash:/a hash:/var/lib/t socketmap:b":   "hash:/a cdb:/var/lib/t socketmap:b",
		"inline:{ {a.example = may}, b = may }": "inline:{ {a.example = may}, b = may }, cdb:/var/lib/t",
		"hash:/var/lib/t2":                      "hash:/var/lib/t2, cdb:/var/lib/t",
	} {
		bin := t.TempDir()
		if err := os.WriteFile(filepath.Join(bin, "postconf"), []byte("#!/bin/sh\necho '"+old+"'\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
		if got := p.maps(t.Context()); got != want {
			t.Errorf("%q: %q, want %q", old, got, want)
		}
	}
}
