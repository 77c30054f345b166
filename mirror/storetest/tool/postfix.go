package tool

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Postfix is the unpacked Postfix with a configuration of its own, enough for its programs to run; nothing is started.
type Postfix struct {
	Tree   string // where it was unpacked
	Config string // its folder with main.cf
}

// NewPostfix writes a configuration whose table types are those of a Debian machine, and the given ones of its plug-ins
// ("lmdb", "cdb"), which come in packages of their own.
func NewPostfix(t testing.TB, plugins ...string) Postfix {
	t.Helper()
	p := Postfix{Tree: Tree(t, "postfix"), Config: t.TempDir()}
	dynamic := ""
	for _, name := range plugins {
		dynamic += fmt.Sprintf("%s postfix-%[1]s.so dict_%[1]s_open mkmap_%[1]s_open\n", name)
	}
	for name, text := range map[string]string{
		"main.cf": fmt.Sprintf("compatibility_level = 3.6\nshlib_directory = %[1]s/usr/lib/postfix\nmeta_directory = %[2]s\n"+
			"daemon_directory = %[1]s/usr/lib/postfix/sbin\ncommand_directory = %[1]s/usr/sbin\n"+
			"myhostname = mail.example\nqueue_directory = %[2]s/queue\ndata_directory = %[2]s/data\n", p.Tree, p.Config),
		"master.cf": "", "dynamicmaps.cf": dynamic,
	} {
		if err := os.WriteFile(filepath.Join(p.Config, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// Command is one of the programs in usr/sbin, such as postmap, with this configuration. Not all of them have an option
// for it.
func (p Postfix) Command(ctx context.Context, t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	return command(ctx, t, p.Tree, []string{"MAIL_CONFIG=" + p.Config}, append([]string{filepath.Join(p.Tree, "usr/sbin", name)}, args...))
}

// Wrap puts scripts into dir that run the named programs with this configuration, for a PATH.
func (p Postfix) Wrap(ctx context.Context, t testing.TB, dir string, names ...string) {
	t.Helper()
	for _, name := range names {
		quoted := []string{"exec"}
		for _, arg := range p.Command(ctx, t, name).Args {
			quoted = append(quoted, "'"+arg+"'")
		}
		script := "#!/bin/sh\n" + strings.Join(quoted, " ") + " \"$@\"\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}
