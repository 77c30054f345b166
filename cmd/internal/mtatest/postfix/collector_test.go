package postfix

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// collector stands in for sys4's tlsrpt-collectd and tlsrpt-reportd, which Debian does not have: it takes what Postfix says
// through libtlsrpt, one JSON object in each datagram of a unix socket, and writes a file of RFC 8460 for each domain, by the
// name that theirs have.
type collector struct {
	s  *server
	mu sync.Mutex

	datagrams int
	wrong     []string
	domains   map[string]map[string]*collected // by domain and policy
}

// collected are the sessions under one policy.
type collected struct {
	policy           tlsrptPolicy
	sessions, failed int64
	details          map[tlsrptFailure]int64
}

// tlsrptDatagram is libtlsrpt's, of protocol version 1: one delivery request.
type tlsrptDatagram struct {
	Version  string         `json:"dpv"` // Debian's libtlsrpt 0.5.0rc1 does not say yet
	Domain   string         `json:"d"`
	Record   string         `json:"pr"`
	Policies []tlsrptPolicy `json:"policies"`
}

type tlsrptPolicy struct {
	Type     int             `json:"policy-type"` // tlsrpt.h: 1 tlsa, 2 sts, 9 no-policy-found
	Domain   string          `json:"policy-domain"`
	Strings  []string        `json:"policy-string"`
	Hosts    []string        `json:"mx-host"`
	Failures []tlsrptFailure `json:"failure-details"`
	Count    int             `json:"t"`
	Failed   int             `json:"f"` // in the end: failures may go before a success
}

type tlsrptFailure struct {
	Code   int    `json:"c"`
	Sender string `json:"s"`
	Name   string `json:"n"`
	HELO   string `json:"h"`
	Addr   string `json:"r"`
	More   string `json:"a"`
	Reason string `json:"f"`
}

// The numbers of tlsrpt.h.
var (
	tlsrptPolicies = map[int]tlsrpt.PolicyType{1: tlsrpt.TLSA, 2: tlsrpt.STS, 9: tlsrpt.NoPolicyFound}
	tlsrptResults  = map[int]tlsrpt.ResultType{
		201: tlsrpt.STARTTLSNotSupported, 202: tlsrpt.CertificateHostMismatch, 203: tlsrpt.CertificateNotTrusted, 204: tlsrpt.CertificateExpired,
		205: tlsrpt.ValidationFailure, 301: tlsrpt.STSPolicyFetchError, 302: tlsrpt.STSPolicyInvalid, 303: tlsrpt.STSWebPKIInvalid,
		304: tlsrpt.TLSAInvalid, 305: tlsrpt.DNSSECInvalid, 306: tlsrpt.DANERequired,
	}
)

// collect listens at a place below Postfix's queue directory until the test ends.
func (s *server) collect(place string) *collector {
	s.t.Helper()
	c := &collector{s: s, domains: map[string]map[string]*collected{}}
	path := filepath.Join("/var/spool/postfix", place)
	s.Output("/bin/mkdir", "-p", filepath.Dir(path))
	folder, err := os.Open(s.Path(filepath.Dir(path)))
	s.must(err)
	defer folder.Close()
	short := fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), filepath.Base(path)) // a socket's name has at most 107 bytes
	// Postfix waits for nobody: what finds the queue full is lost.
	s.must(os.WriteFile("/proc/sys/net/unix/max_dgram_qlen", []byte("4096"), 0))
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: short, Net: "unixgram"})
	s.must(err)
	s.must(l.SetReadBuffer(16 << 20))
	s.Output("/bin/chmod", "0666", path)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		data := make([]byte, 256<<10)
		for {
			n, err := l.Read(data)
			if err != nil {
				return
			}
			c.take(data[:n])
		}
	}()
	s.t.Cleanup(func() { l.Close(); <-ended })
	return c
}

func (c *collector) take(data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.datagrams++
	var d tlsrptDatagram
	if err := json.Unmarshal(data, &d); err != nil || d.Version != "" && d.Version != "1" || d.Domain == "" || !strings.HasPrefix(d.Record, "v=TLSRPTv1") {
		c.wrong = append(c.wrong, string(data))
		return
	}
	if c.domains[d.Domain] == nil {
		c.domains[d.Domain] = map[string]*collected{}
	}
	for _, p := range d.Policies {
		key := fmt.Sprint(p.Type, p.Domain, p.Strings, p.Hosts)
		at := c.domains[d.Domain][key]
		if at == nil {
			at = &collected{policy: p, details: map[tlsrptFailure]int64{}}
			c.domains[d.Domain][key] = at
		}
		at.sessions++
		at.failed += int64(p.Failed)
		for _, f := range p.Failures {
			at.details[f]++
		}
	}
}

// sessions are how many delivery requests there were about a domain.
func (c *collector) sessions(domain string) (n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.domains[domain] {
		n += p.sessions
	}
	return n
}

// report writes the day's files into a folder of the machine.
func (c *collector) report(folder string, day tlsrpt.Day) {
	c.s.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.wrong) > 0 {
		c.s.t.Errorf("%d datagrams are not as libtlsrpt's are: %s", len(c.wrong), c.wrong[0])
	}
	for i, name := range slices.Sorted(maps.Keys(c.domains)) {
		r := &tlsrpt.Report{
			Organization: "Sender", Contact: "tls@sender.example", ID: fmt.Sprintf("%s_idx1_%s", day.Begin().Format("2006-01-02T15:04:05Z"), name),
			Begin: day.Begin(), End: day.End(),
		}
		for _, key := range slices.Sorted(maps.Keys(c.domains[name])) {
			r.Policies = append(r.Policies, c.policy(name, c.domains[name][key]))
		}
		text, err := tlsrpt.Marshal(r)
		c.s.must(err)
		c.s.Write(filepath.Join(folder, fmt.Sprintf("tlsrpt-%s-%d-x%d.json", name, i+1, i)), string(text), 0o600)
	}
}

func (c *collector) policy(name string, p *collected) tlsrpt.Policy {
	domain, err := policy.NormalizeDomain(p.policy.Domain)
	if p.policy.Domain == "" {
		domain, err = policy.NormalizeDomain(name)
	}
	c.s.must(err)
	out := tlsrpt.Policy{Type: tlsrptPolicies[p.policy.Type], Domain: domain, Strings: p.policy.Strings, MXHosts: p.policy.Hosts,
		Successful: p.sessions - p.failed, Failed: p.failed}
	for f, n := range p.details {
		from, _ := netip.ParseAddr(f.Sender)
		to, _ := netip.ParseAddr(f.Addr)
		out.Details = append(out.Details, tlsrpt.Detail{Result: tlsrptResults[f.Code], SendingIP: from, ReceivingIP: to, ReceivingMX: f.Name,
			ReceivingHELO: f.HELO, Failed: n, Information: f.More, Reason: f.Reason})
	}
	return out
}
