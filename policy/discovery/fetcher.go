package discovery

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"github.com/starttls-everywhere/policylist/policy/mtasts"
)

const (
	// fetchDeadline is the longest that a sender waits for a policy (RFC 8461 section 3.3).
	fetchDeadline = 60 * time.Second
	// dialDeadline is what one of several addresses may take of it.
	dialDeadline = 10 * time.Second
	// maxDials is how many addresses of a policy host are tried.
	maxDials = 8
	// maxHeader caps the HTTP header of an answer, in bytes.
	maxHeader = 32 << 10
	// policyPath is where a policy is (RFC 8461 section 3.3).
	policyPath = "/.well-known/mta-sts.txt"
)

// Fetcher fetches MTA-STS policies over HTTPS as RFC 8461 section 3.3 demands: it follows no redirect, uses no proxy,
// sends no cookie, and accepts only a certificate for the policy host itself. It finds addresses through a Client, so that
// nothing is contacted that Allow has not seen. It keeps no state and is safe for concurrent use.
type Fetcher struct {
	Allow    func(netip.Addr) bool // which addresses may be contacted; nil allows none: what the DNS says is an attacker's to choose
	Roots    *x509.CertPool        // nil means the machine's
	Port     int                   // 0 means 443
	Now      func() time.Time      // by which certificates are judged; nil means time.Now
	Deadline time.Duration         // of the whole fetch without its DNS lookups and the waiting in Enter; 0 means 60 s
	// Enter waits for the right to connect to an address, and leave is called when the connection is closed: policies of many
	// domains lie with one provider. nil lets everybody in at once. An error ends the fetch as STSFetchTimeout.
	Enter func(context.Context, netip.Addr) (leave func(), err error)
}

// fetch fetches the policy of host and judges it.
func (f *Fetcher) fetch(ctx context.Context, c *Client, host string, s *STS) {
	s.Addresses = []Answer{c.LookupA(ctx, host), c.LookupAAAA(ctx, host)}
	if targets := f.targets(s); len(targets) > 0 {
		f.try(ctx, targets, host, s)
	}
}

// try asks one address after the other until one accepts a connection.
func (f *Fetcher) try(ctx context.Context, targets []netip.AddrPort, host string, s *STS) {
	left := f.Deadline
	if left <= 0 {
		left = fetchDeadline
	}
	s.Status = STSFetchNoRoute
	for _, target := range targets {
		leave, err := f.enter(ctx, target.Addr())
		if err != nil {
			s.fail(STSFetchTimeout, "waiting for a turn: "+err.Error())
			return
		}
		begun := time.Now()
		done := f.ask(ctx, left, target, host, s)
		leave()
		if left -= time.Since(begun); done {
			return
		}
	}
}

func (f *Fetcher) enter(ctx context.Context, addr netip.Addr) (leave func(), err error) {
	if f.Enter == nil {
		return func() {}, nil
	}
	return f.Enter(ctx, addr)
}

// ask fetches from one address within the time that is left; false means that the next address may be tried.
func (f *Fetcher) ask(ctx context.Context, left time.Duration, target netip.AddrPort, host string, s *STS) bool {
	ctx, cancel := context.WithTimeout(ctx, left)
	defer cancel()
	conn := f.dial(ctx, target, s)
	if conn == nil {
		return ctx.Err() != nil
	}
	defer conn.Close()
	// Whatever the server does, nothing outlives the deadline.
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if secured := f.handshake(ctx, conn, host, s); secured != nil {
		f.get(ctx, secured, host, s)
	}
	return true
}

// targets are the addresses that may be contacted, IPv4 first; without any it says why in s.
func (f *Fetcher) targets(s *STS) []netip.AddrPort {
	port := uint16(443)
	if f.Port != 0 {
		port = uint16(f.Port)
	}
	var out []netip.AddrPort
	found, failed := 0, ""
	for _, a := range s.Addresses {
		if !a.Status.Known() {
			failed = fmt.Sprintf("%s lookup: %s", a.Type, a.Status)
		}
		for _, addr := range a.Addrs {
			found++
			if f.Allow != nil && f.Allow(addr) && len(out) < maxDials {
				out = append(out, netip.AddrPortFrom(addr, port))
			}
		}
	}
	switch {
	case len(out) > 0:
	case found > 0:
		s.fail(STSFetchForbidden, "no address that may be contacted")
	case failed != "":
		s.fail(STSFetchDNS, failed)
	default:
		s.fail(STSFetchNoHost, "the policy host has no address")
	}
	return out
}

// dial connects to target; nil means that nobody accepts.
func (f *Fetcher) dial(ctx context.Context, target netip.AddrPort, s *STS) net.Conn {
	conn, err := (&net.Dialer{Timeout: dialDeadline}).DialContext(ctx, "tcp", target.String())
	switch {
	case err == nil:
		s.Server, s.Status, s.Detail = target, "", ""
		return conn
	case ctx.Err() != nil:
		s.fail(STSFetchTimeout, "connecting: "+ctx.Err().Error())
	case !noRoute(err):
		s.fail(STSFetchConnect, err.Error())
	default: // of several addresses one that refuses tells more than one without a way to it
		s.fail(s.Status, cmp.Or(s.Detail, err.Error()))
	}
	return nil
}

// noRoute reports whether this machine has no way to such addresses, which says nothing about them.
func noRoute(err error) bool {
	return errors.Is(err, syscall.ENETUNREACH) || errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)
}

// handshake makes a TLS connection of conn; the certificate must be host's.
func (f *Fetcher) handshake(ctx context.Context, conn net.Conn, host string, s *STS) *tls.Conn {
	secured := tls.Client(conn, &tls.Config{
		ServerName: host, RootCAs: f.Roots, Time: f.Now,
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
	})
	err := secured.HandshakeContext(ctx)
	status := STSFetchTLS
	switch bad := (*tls.CertificateVerificationError)(nil); {
	case err == nil:
		leaf := secured.ConnectionState().PeerCertificates[0]
		s.NotBefore, s.NotAfter = leaf.NotBefore, leaf.NotAfter
		return secured
	case errors.As(err, &bad):
		leaf := bad.UnverifiedCertificates[0]
		s.NotBefore, s.NotAfter = leaf.NotBefore, leaf.NotAfter
		status = STSFetchCertificate
	case ctx.Err() != nil:
		status, err = STSFetchTimeout, ctx.Err()
	}
	s.fail(status, "TLS handshake: "+err.Error())
	return nil
}

// get asks for the policy over conn, which the caller closes.
func (f *Fetcher) get(ctx context.Context, conn *tls.Conn, host string, s *STS) {
	transport := &http.Transport{
		DialTLSContext:    func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		ForceAttemptHTTP2: true, DisableCompression: true, DisableKeepAlives: true,
		MaxResponseHeaderBytes: maxHeader,
	}
	defer transport.CloseIdleConnections()
	authority := host
	if f.Port != 0 && f.Port != 443 {
		authority = net.JoinHostPort(host, strconv.Itoa(f.Port))
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+authority+policyPath, nil)
	if err != nil {
		s.fail(STSFetchHTTP, err.Error())
		return
	}
	request.Header.Set("User-Agent", "policylist")
	response, err := transport.RoundTrip(request)
	if err != nil {
		s.broken(ctx, "waiting for the answer", err)
		return
	}
	defer response.Body.Close()
	s.read(ctx, response)
}

// read takes what is wanted of an answer.
func (s *STS) read(ctx context.Context, response *http.Response) {
	s.HTTPStatus = response.StatusCode
	s.ContentType = clip(response.Header.Get("Content-Type"), 256)
	switch {
	case response.StatusCode/100 == 3:
		s.Location = clip(response.Header.Get("Location"), 1024)
		s.fail(STSFetchRedirect, fmt.Sprintf("status %d to %q", response.StatusCode, s.Location))
		return
	case response.StatusCode != http.StatusOK:
		s.fail(STSFetchStatus, fmt.Sprintf("status %d", response.StatusCode))
		return
	}
	if encoding := response.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		s.fail(STSFetchEncoding, fmt.Sprintf("Content-Encoding %q", encoding))
		return
	}
	s.Media = mtasts.ParseMediaType(s.ContentType)
	body, err := io.ReadAll(io.LimitReader(response.Body, mtasts.MaxPolicyBytes+1))
	switch {
	case err != nil || ctx.Err() != nil: // a server may end its answer because we hang up
		s.broken(ctx, "reading the policy", cmp.Or(err, ctx.Err()))
		return
	case len(body) > mtasts.MaxPolicyBytes:
		s.fail(STSFetchSize, fmt.Sprintf("more than %d bytes", mtasts.MaxPolicyBytes))
		return
	}
	sum := sha256.Sum256(body)
	s.Body, s.SHA256 = body, hex.EncodeToString(sum[:])
	s.judge()
}

// broken tells a deadline from a broken answer.
func (s *STS) broken(ctx context.Context, what string, err error) {
	status := STSFetchHTTP
	if ctx.Err() != nil {
		status, err = STSFetchTimeout, ctx.Err()
	}
	s.fail(status, what+": "+err.Error())
}
