package mtatest

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
)

// workVar holds the folder of programs and machines; inside the namespaces only insideVar is set as well.
const (
	workVar   = "MTATEST_WORK"
	insideVar = "MTATEST_INSIDE"
)

// internet is a block of addresses that the namespace has on its loopback interface. They look public, for the program
// under test contacts no others; packets cannot leave.
var internet = netip.MustParsePrefix("5.0.0.0/8")

// Run runs a package's tests in namespaces of their own, and returns the exit code. Without the rights for that it runs
// them here, where NewLab and NewMachine skip.
func Run(m *testing.M) int {
	if os.Getenv(insideVar) != "" {
		if err := furnish(os.Getenv(workVar)); err != nil {
			fmt.Fprintln(os.Stderr, "mtatest: in the namespaces:", err)
			return 1
		}
		return m.Run()
	}
	if os.Getuid() != 0 && exec.Command("sudo", "-n", "true").Run() != nil {
		return m.Run()
	}
	code, err := outside()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mtatest:", err)
		return 1
	}
	return code
}

// outside builds the programs as the user who has the build cache, and starts the tests again as root, inside.
func outside() (code int, err error) {
	work := os.Getenv(workVar)
	if work == "" {
		if work, err = os.MkdirTemp("", "mtatest-"); err != nil {
			return 1, err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
		if err := build(work); err != nil {
			return 1, err
		}
	}
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	environment := append(os.Environ(), workVar+"="+work)
	// The tests wait for mail servers most of the time, so there may be more of them at once than processors.
	args := append([]string{"-test.parallel=8"}, os.Args[1:]...)
	cmd := exec.Command(self, args...)
	if os.Getuid() != 0 { // sudo passes no environment on
		cmd = exec.Command("sudo", slices.Concat([]string{"-n", "env"}, environment, []string{self}, args)...)
	} else {
		// The death signal comes when the thread ends that started the process.
		runtime.LockOSThread()
		environment = append(environment, insideVar+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL,
			Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC}
	}
	cmd.Env, cmd.Stdout, cmd.Stderr = environment, os.Stdout, os.Stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	return 0, err
}

// furnish makes the namespaces habitable.
func furnish(work string) error {
	place := filepath.Join(work, "machines")
	if err := os.MkdirAll(place, 0o755); err != nil {
		return err
	}
	return errors.Join(
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
		unix.Mount("proc", "/proc", "proc", 0, ""),
		unix.Mount("tmpfs", place, "tmpfs", 0, "mode=0755"),
		unix.Sethostname([]byte("sender.example")),
		raise("lo", netip.Addr{}, 0),
		raise("lo:1", internet.Addr().Next(), internet.Bits()),
	)
}

// raise switches an interface on. 127.0.0.1 comes to "lo" by itself.
func raise(name string, addr netip.Addr, bits int) error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	ask := func(request uint, fill func(*unix.Ifreq) error) error {
		r, err := unix.NewIfreq(name)
		if err == nil {
			err = fill(r)
		}
		if err == nil {
			err = unix.IoctlIfreq(socket, request, r)
		}
		return err
	}
	if !addr.IsValid() {
		return ask(unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP); return nil })
	}
	mask := make([]byte, 4)
	for i := range bits {
		mask[i/8] |= 0x80 >> (i % 8)
	}
	return errors.Join(
		ask(unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(addr.AsSlice()) }),
		ask(unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr(mask) }),
	)
}

// need ends a test that Run could not bring into the namespaces.
func need(t testing.TB) {
	t.Helper()
	switch {
	case os.Getenv(insideVar) != "":
	case os.Getenv("CI") == "true":
		t.Fatal("needs root, or sudo without a password, for namespaces of its own")
	default:
		t.Skip("needs root, or sudo without a password, for namespaces of its own")
	}
}

var labs atomic.Uint32

// NewLab starts a lab at the ports that everybody knows, on addresses of its own that look public.
func NewLab(t testing.TB) *lab.Lab {
	t.Helper()
	need(t)
	n := labs.Add(1)
	base := internet.Addr().As4()
	base[1], base[2], base[3] = byte(n>>8)+1, byte(n), 1
	l, err := lab.Start(t.Context(), lab.Options{Base: netip.AddrFrom4(base), WellKnown: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}
