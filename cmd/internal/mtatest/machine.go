package mtatest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
	"github.com/starttls-everywhere/policylist/pipeline/lab"
)

// Machine is a root folder, with a lab for an Internet.
type Machine struct {
	t    testing.TB
	root string
}

// NewMachine lays the trees of tools.txt ("deb:…") over the root folder at base: "/", or that of another Debian
// (tool.Tree). It is gone when the test ends.
func NewMachine(t testing.TB, l *lab.Lab, base string, trees ...string) *Machine {
	t.Helper()
	need(t)
	dir, err := os.MkdirTemp(filepath.Join(os.Getenv(workVar), "machines"), "machine-")
	if err != nil {
		t.Fatal(err)
	}
	m := &Machine{t: t, root: filepath.Join(dir, "root")}
	lower := base
	for _, name := range trees {
		lower = layer(t, tool.Tree(t, name)) + ":" + lower
	}
	upper, work := filepath.Join(dir, "upper"), filepath.Join(dir, "work")
	for _, path := range []string{m.root, upper, work} {
		m.must(os.Mkdir(path, 0o755))
	}
	m.must(os.Chmod(dir, 0o755))
	m.must(unix.Mount("overlay", m.root, "overlay", 0, "lowerdir="+lower+",upperdir="+upper+",workdir="+work))
	t.Cleanup(func() {
		// Not a byte is removed while /dev may still be mounted below.
		if err := unix.Unmount(m.root, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount a machine: %v", err)
			return
		}
		os.RemoveAll(dir)
	})
	for _, path := range []string{"/dev", "/proc"} {
		m.Share(path, path)
	}
	for _, path := range []string{"/tmp", "/var/tmp"} { // what is written there meanwhile is not the machine's
		m.must(unix.Mount("tmpfs", m.Path(path), "tmpfs", 0, "mode=1777"))
	}
	m.furnish(l)
	return m
}

// furnish writes the files that lead to the lab, and brings the program under test.
func (m *Machine) furnish(l *lab.Lab) {
	m.t.Helper()
	m.Write("/etc/resolv.conf", fmt.Sprintf("nameserver %s\noptions edns0 trust-ad\n", l.Resolver().Addr()), 0o644)
	m.Write("/etc/hosts", "127.0.0.1 localhost\n127.0.0.1 sender.example sender\n", 0o644)
	m.Write("/etc/ssl/certs/ca-certificates.crt", string(l.RootsPEM()), 0o644)
	passwd, group := tool.Accounts()
	m.account("/etc/passwd", passwd)
	m.account("/etc/group", group)
	for _, path := range []string{Program, Shifted} {
		m.Write(path, "", 0o755)
		m.Share(filepath.Join(os.Getenv(workVar), filepath.Base(path)), path)
	}
}

// account adds the lines whose names are not there yet.
func (m *Machine) account(path, lines string) {
	m.t.Helper()
	text := m.Read(path)
	for line := range strings.Lines(lines) {
		name, _, _ := strings.Cut(line, ":")
		if !strings.Contains("\n"+text, "\n"+name+":") {
			text = line + text
		}
	}
	m.Write(path, text, 0o644)
}

// open is the root folder with symbolic links confined to it: an absolute one would lead to this machine's own files.
func (m *Machine) open() *os.Root {
	m.t.Helper()
	r, err := os.OpenRoot(m.root)
	m.must(err)
	return r
}

// Path is where a file of the machine stands on this one. Symbolic links on the way to it may lead elsewhere.
func (m *Machine) Path(path string) string { return filepath.Join(m.root, path) }

// Write writes a file, with its folders, in place of what is there.
func (m *Machine) Write(path, text string, mode fs.FileMode) {
	m.t.Helper()
	r := m.open()
	defer r.Close()
	path = strings.TrimPrefix(path, "/")
	m.must(r.MkdirAll(filepath.Dir(path), 0o755))
	if err := r.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		m.must(err)
	}
	m.must(r.WriteFile(path, []byte(text), mode))
	m.must(r.Chmod(path, mode)) // whatever the umask
}

// Read reads a file; one that is not there is empty.
func (m *Machine) Read(path string) string {
	m.t.Helper()
	r := m.open()
	defer r.Close()
	data, err := r.ReadFile(strings.TrimPrefix(path, "/"))
	if !errors.Is(err, fs.ErrNotExist) {
		m.must(err)
	}
	return string(data)
}

// Share makes what is at from on this machine appear at path: a folder, or a file over one that is there.
func (m *Machine) Share(from, path string) {
	m.t.Helper()
	info, err := os.Stat(from)
	m.must(err)
	r := m.open()
	defer r.Close()
	if info.IsDir() {
		m.must(r.MkdirAll(strings.TrimPrefix(path, "/"), 0o755))
	}
	m.must(unix.Mount(from, m.Path(path), "", unix.MS_BIND|unix.MS_REC, ""))
}

// Command runs a program of the machine, by its full path, as root.
func (m *Machine) Command(ctx context.Context, path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: m.root}
	return cmd
}

// Output runs a program that must succeed.
func (m *Machine) Output(path string, args ...string) string {
	m.t.Helper()
	var out, complaint bytes.Buffer
	cmd := m.Command(m.t.Context(), path, args...)
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		m.t.Fatalf("%s %q: %v\n%s%s", path, args, err, out.String(), complaint.String())
	}
	return out.String()
}

func (m *Machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// layers are by tree.
var layers sync.Map

// layer is a tree as it would have been installed: where /lib is a link to /usr/lib, its /lib must not cover the link.
func layer(t testing.TB, tree string) string {
	t.Helper()
	once, _ := layers.LoadOrStore(tree, sync.OnceValues(func() (string, error) {
		dir, err := os.MkdirTemp(filepath.Join(os.Getenv(workVar), "machines"), "layer-")
		if err != nil {
			return "", err
		}
		script := `chmod 755 . && for d in usr etc var; do if [ -d "$0/$d" ]; then cp -a "$0/$d" .; fi; done
for d in bin sbin lib lib64; do
	if [ -d "$0/$d" ] && [ -L "/$d" ]; then mkdir -p "usr/$d" && cp -a "$0/$d/." "usr/$d"; elif [ -d "$0/$d" ]; then cp -a "$0/$d" .; fi
done`
		cmd := exec.Command("sh", "-ec", script, tree)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("copy %s: %w: %s", tree, err, out)
		}
		return dir, nil
	}))
	dir, err := once.(func() (string, error))()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}
