package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/starttls-everywhere/policylist/pipeline/lab"
)

// insideNetwork says that this process has a network of its own, with nothing in it.
const insideNetwork = "POLICYLIST_TEST_OWN_NETWORK"

// TestEveryAddress runs outside of the loopback's narrow choice of IPv6 addresses: in a network namespace of its own, where
// lo has addresses as public servers have them.
func TestEveryAddress(t *testing.T) {
	if os.Getenv(insideNetwork) == "" {
		again := exec.Command(os.Args[0], "-test.run=^TestEveryAddress$", "-test.v")
		again.Env = append(os.Environ(), insideNetwork+"=1")
		again.SysProcAttr = ownNetwork()
		out, err := again.CombinedOutput()
		switch {
		case err == nil && strings.Contains(string(out), "--- PASS: TestEveryAddress"):
		case os.Getenv("CI") != "true" && (errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EINVAL)):
			t.Skipf("no network namespace to be had: %v", err)
		default:
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	loUp(t)
	t.Run("many hosts", manyHosts)
	t.Run("one of many addresses", oneOfManyAddresses)
	t.Run("a family without a route", noRouteToFamily)
	t.Run("turned away for a while", publicBackoff)
}

// ownNetwork asks for a network namespace; who is not root needs a user namespace to get one.
func ownNetwork() *syscall.SysProcAttr {
	if os.Geteuid() == 0 {
		return &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	}
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	}
}

// publicProber has the manners and limits of a scan out there.
func publicProber(t *testing.T, l *lab.Lab, clock Clock) *Prober {
	return newProber(t, l, false, func(o *Options) {
		o.AllowLoopback, o.EHLO, o.Clock = false, "probe.operator.example", clock
	})
}

// manyHosts: 32 MX hosts with an address in each family, all of them visited, politely.
func manyHosts(t *testing.T) {
	l := startLab(t)
	clock := &fakeClock{now: time.Now()}
	start := clock.Now()
	for i := range 32 {
		name := fmt.Sprintf("mx%d.many.example", i)
		four, six := netip.AddrFrom4([4]byte{11, 0, 0, byte(1 + i)}), netip.MustParseAddr(fmt.Sprintf("2a00:db8::%x", 1+i))
		giveLo(t, four, six)
		must(t, l.AddHost(lab.Host{Name: name, Addresses: []netip.Addr{four, six}}))
		must(t, l.AddRecord(fmt.Sprintf("many.example. 60 IN MX 10 %s.", name)))
	}
	r := probeOne(t, publicProber(t, l, clock), Target{Domain: domain("many.example")})
	if r.Verdict != Pass {
		t.Errorf("%s %q", r, r.Codes)
	}
	var rec Record
	must(t, readCanonical(r.Line, &rec))
	visited := 0
	for _, h := range rec.Observed.Hosts {
		for i, s := range h.Sessions {
			visited++
			if addr := netip.MustParseAddr(s.Address); addr.Is4() != (i == 0) || s.Stage != StageDone {
				t.Errorf("%s: session %d is with %s and came to %s", h.Name, i, s.Address, s.Stage)
			}
		}
		if s, err := l.Stats(h.Name); err != nil || s.Sessions != 4 || s.Quits != 4 || s.Peak != 1 {
			t.Errorf("%s saw %+v, %v, want two sessions at each address, one at a time", h.Name, s, err)
		}
	}
	if took := clock.Now().Sub(start); visited != 64 || took < time.Minute {
		t.Errorf("%d addresses visited in %v; four visits to a host take a minute", visited, took)
	}
}

// oneOfManyAddresses: of five IPv6 addresses of a host one leads to a machine without STARTTLS.
func oneOfManyAddresses(t *testing.T) {
	l := startLab(t)
	var good []netip.Addr
	for i := range 4 {
		good = append(good, netip.MustParseAddr(fmt.Sprintf("2a00:db8:1::%x", 1+i)))
	}
	bad := netip.MustParseAddr("2a00:db8:1::ff")
	giveLo(t, append(good, bad)...)
	must(t, l.AddHost(lab.Host{Name: "mx.one.example", Addresses: good}))
	must(t, l.AddHost(lab.Host{Name: "bad.example", Behaviour: lab.NoStartTLS, Addresses: []netip.Addr{bad}}))
	must(t, l.AddDomain(lab.Domain{Name: "one.example", MX: []string{"mx.one.example"}}))
	must(t, l.AddRecord(fmt.Sprintf("mx.one.example. 60 IN AAAA %s", bad)))
	r := probeOne(t, publicProber(t, l, &fakeClock{now: time.Now()}), Target{Domain: domain("one.example")})
	if r.Verdict != Fail || !slices.Equal(r.Codes, []string{"starttls.missing"}) || !strings.Contains(r.Findings[0].Summary, bad.String()) {
		t.Errorf("%s %q %+v", r, r.Codes, r.Findings)
	}
}

// noRouteToFamily: a vantage without IPv6 says nothing about an IPv6 address beside a good IPv4 one, and that it cannot
// tell where there is nothing else.
func noRouteToFamily(t *testing.T) {
	l := startLab(t)
	four := netip.MustParseAddr("11.0.1.1")
	giveLo(t, four)
	must(t, l.AddHost(lab.Host{Name: "mx.both.example", Addresses: []netip.Addr{four}}))
	must(t, l.AddRecord("mx.both.example. 60 IN AAAA 2a01::1"))
	must(t, l.AddDomain(lab.Domain{Name: "both.example", MX: []string{"mx.both.example"}}))
	must(t, l.AddRecord("mx.six.example. 60 IN AAAA 2a01::2"))
	must(t, l.AddRecord("six.example. 60 IN MX 10 mx.six.example."))
	p := publicProber(t, l, &fakeClock{now: time.Now()})
	if r := probeOne(t, p, Target{Domain: domain("both.example")}); r.Verdict != Pass {
		t.Errorf("%s %q", r, r.Codes)
	}
	if r := probeOne(t, p, Target{Domain: domain("six.example")}); r.Verdict != Inconclusive || !slices.Equal(r.Codes, []string{"smtp.no-route"}) {
		t.Errorf("%s %q", r, r.Codes)
	}
}

// sleeper notes how long everybody slept.
type sleeper struct {
	fakeClock
	naps sync.Map // time.Duration -> true
}

func (s *sleeper) Sleep(ctx context.Context, d time.Duration) error {
	s.naps.Store(d, true)
	return s.fakeClock.Sleep(ctx, d)
}

// publicBackoff: a public server that turned us away is left alone for as long as the options say.
func publicBackoff(t *testing.T) {
	l := startLab(t)
	addr := netip.MustParseAddr("11.0.2.1")
	giveLo(t, addr)
	must(t, l.AddHost(lab.Host{Name: "mx.grey.example", Pool: []lab.Behaviour{lab.Greeting421, lab.Good}, Addresses: []netip.Addr{addr}}))
	must(t, l.AddDomain(lab.Domain{Name: "grey.example", MX: []string{"mx.grey.example"}}))
	clock := &sleeper{fakeClock: fakeClock{now: time.Now()}}
	if r := probeOne(t, publicProber(t, l, clock), Target{Domain: domain("grey.example")}); r.Verdict != Pass {
		t.Errorf("%s %q", r, r.Codes)
	}
	if _, ok := clock.naps.Load(90 * time.Second); !ok {
		t.Error("nobody stayed away for 90 seconds")
	}
}

// Requests of netdevice(7).
const (
	setFlags   = 0x8914
	setAddress = 0x8916
)

// loUp switches lo on; it comes with 127.0.0.0/8 and ::1.
func loUp(t *testing.T) {
	t.Helper()
	req := struct {
		name  [16]byte
		flags int16
		_     [22]byte
	}{flags: syscall.IFF_UP}
	copy(req.name[:], "lo")
	request(t, syscall.AF_INET, setFlags, unsafe.Pointer(&req))
}

// aliases counts the labels "lo:1", "lo:2", … that further IPv4 addresses need.
var aliases int

// giveLo gives lo more addresses, in this process's own network only.
func giveLo(t *testing.T, addrs ...netip.Addr) {
	t.Helper()
	if os.Getenv(insideNetwork) == "" {
		t.Fatal("not in a network of our own")
	}
	for _, a := range addrs {
		if a.Is6() {
			req := struct {
				addr   [16]byte
				prefix uint32
				index  int32
			}{a.As16(), 128, 1} // lo is always the first
			request(t, syscall.AF_INET6, setAddress, unsafe.Pointer(&req))
			awaitAddress(t, a)
			continue
		}
		aliases++
		req := struct {
			name   [16]byte
			family uint16
			port   uint16
			addr   [4]byte
			_      [16]byte
		}{family: syscall.AF_INET, addr: a.As4()}
		copy(req.name[:], fmt.Sprintf("lo:%d", aliases))
		request(t, syscall.AF_INET, setAddress, unsafe.Pointer(&req))
	}
}

// awaitAddress waits until an address can be bound to: the kernel makes sure in the background that nobody else has it
// (RFC 4862 section 5.4).
func awaitAddress(t *testing.T, a netip.Addr) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; runtime.Gosched() {
		conn, err := net.ListenPacket("udp", netip.AddrPortFrom(a, 0).String())
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", a, err)
		}
	}
}

func request(t *testing.T, family int, number uintptr, arg unsafe.Pointer) {
	t.Helper()
	fd, err := syscall.Socket(family, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	must(t, err)
	defer syscall.Close(fd)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), number, uintptr(arg)); errno != 0 {
		t.Fatalf("ioctl %#x: %v", number, errno)
	}
}
