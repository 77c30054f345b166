//go:build unix

package trillianserver

import (
	"context"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

const (
	database = "postgres" // initdb makes it
	role     = "trillian"
	initdb   = "/usr/lib/postgresql/*/bin/initdb" // as tools.txt names it

	immediateShutdown = syscall.SIGQUIT // to PostgreSQL
)

// startPostgreSQL makes a cluster with Trillian's tables and returns its URI. It listens on a socket in its folder only,
// so no port is taken and nobody else gets in.
func startPostgreSQL(t testing.TB) string {
	t.Helper()
	bin := filepath.Dir(tool.Path(t, initdb))
	schema := schemaFile(t)
	// t.TempDir is below a folder that another user may not enter.
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	credential := unprivileged(t, dir)
	data := filepath.Join(dir, "data")
	finish(t, credential, filepath.Join(bin, "initdb"), "--pgdata="+data, "--username="+role, "--auth=trust", "--encoding=UTF8",
		"--no-locale", "--no-sync", "--no-instructions")
	cmd := as(credential, exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", dir, "-c", "listen_addresses=", "-F"))
	server := tool.Start(t, cmd, immediateShutdown)
	psql := []string{"--host=" + dir, "--username=" + role, "--dbname=" + database, "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"}
	ready := func() bool {
		return exec.Command(filepath.Join(bin, "pg_isready"), "--quiet", "--host="+dir).Run() == nil
	}
	if !server.Until(ready) {
		t.Fatal("PostgreSQL does not start")
	}
	finish(t, nil, filepath.Join(bin, "psql"), append(psql, "--file="+schema)...)
	return "postgresql:///" + database + "?host=" + dir + "&user=" + role
}

// unprivileged gives the folder to user postgres when this is root, as whom PostgreSQL refuses to run.
func unprivileged(t testing.TB, dir string) *syscall.Credential {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err1 != nil || err2 != nil {
		t.Fatalf("user postgres is %s:%s", u.Uid, u.Gid)
	}
	if err := os.Chown(dir, int(uid), int(gid)); err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// schemaFile is in the module that the servers are built from.
func schemaFile(t testing.TB) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/google/trillian").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "storage", "postgresql", "schema", "storage.sql")
}

// as lets another user run a command, if one is given.
func as(credential *syscall.Credential, cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	cmd.Dir = "/" // the user may not see this one
	return cmd
}

// finish runs a program to its end.
func finish(t testing.TB, credential *syscall.Credential, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := as(credential, exec.CommandContext(ctx, program, args...))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(program), err, out)
	}
}
