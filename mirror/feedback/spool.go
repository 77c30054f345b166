package feedback

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

const (
	// maxSpool is how many files of a spool are read: a large sender's reports of two weeks.
	maxSpool = 500_000
	// fresh is how young a file may be whose writing has not ended. tlsrpt-reportd writes under the final name.
	fresh = time.Minute
	// maxComplaints is how many files that are no reports are named.
	maxComplaints = 5
)

// Spool is what one reading of a spool found.
type Spool struct {
	Files    int      // read
	Reports  int      // of them about the day, each once
	Unusable int      // were no reports
	Names    []string // of the first of those, with the reason
	reports  []*tlsrpt.Report
}

// ReadSpool reads a folder of RFC 8460 files, JSON or gzip, as sys4's tlsrpt-reportd writes them to a destination "directory:…"
// ("tlsrpt-DOMAIN-ID-RANDOM.json"), and keeps what they say of listed domains on one day. The same report twice counts once. A
// file that is no report is passed over and named; one that may still be written is ErrLater. Names that begin with a dot,
// folders and links are nothing of ours.
func ReadSpool(dir string, day tlsrpt.Day, now time.Time, listed func(policy.Domain) (policy.Policy, bool)) (*Spool, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	if len(entries) > maxSpool {
		return nil, fmt.Errorf("%s: more than %d files; remove old ones", dir, maxSpool)
	}
	s, seen := &Spool{}, map[string]bool{}
	for _, entry := range entries {
		if !entry.Type().IsRegular() || strings.HasPrefix(entry.Name(), ".") {
			continue
		}
		r, err := readReport(filepath.Join(dir, entry.Name()), now)
		switch {
		case errors.Is(err, fs.ErrNotExist): // removed meanwhile
			continue
		case errors.Is(err, ErrLater):
			return nil, err
		case errors.Is(err, fs.ErrPermission):
			return nil, err // most likely none of them can be read
		case err != nil:
			if s.Files++; s.Unusable < maxComplaints {
				s.Names = append(s.Names, err.Error())
			}
			s.Unusable++
			continue
		}
		s.Files++
		s.take(r, day, seen, listed)
	}
	return s, nil
}

// take keeps of a report what Scrub will ask for, so that memory does not grow with the spool.
func (s *Spool) take(r *tlsrpt.Report, day tlsrpt.Day, seen map[string]bool, listed func(policy.Domain) (policy.Policy, bool)) {
	on, ok := r.Day()
	if !ok || on != day {
		return
	}
	about := policy.Domain{}
	if len(r.Policies) > 0 {
		about = r.Policies[0].Domain
	}
	key := r.Key(policy.Domain{}, about).Digest()
	if r.ID != "" && seen[key] {
		return
	}
	seen[key] = true
	s.Reports++
	explain(r)
	for _, t := range tlsrpt.Tallies(r) {
		if _, ok := listed(t.Domain); ok {
			s.reports = append(s.reports, slim(r))
			return
		}
	}
}

// slim is a report with no more than Scrub looks at: failures of one kind at one host together, and no text that cannot leave.
func slim(r *tlsrpt.Report) *tlsrpt.Report {
	out := &tlsrpt.Report{Begin: r.Begin, End: r.End, Recipient: r.Recipient, Policies: make([]tlsrpt.Policy, 0, len(r.Policies))}
	for _, p := range r.Policies {
		kept := tlsrpt.Policy{Type: p.Type, Domain: p.Domain, MXHosts: p.MXHosts, Successful: p.Successful, Failed: p.Failed}
		at := map[[2]string]int{}
		for _, d := range p.Details {
			key := [2]string{string(d.Result), d.ReceivingMX}
			i, ok := at[key]
			if !ok {
				i = len(kept.Details)
				at[key] = i
				kept.Details = append(kept.Details, tlsrpt.Detail{Result: d.Result, ReceivingMX: d.ReceivingMX})
			}
			kept.Details[i].Failed = min(kept.Details[i].Failed+d.Failed, tlsrpt.MaxCount)
		}
		out.Policies = append(out.Policies, kept)
	}
	return out
}

// untrusted are what Postfix 3.10 says, in OpenSSL's words, of certificates of which its result-type says only that they did not
// verify. RFC 8460 section 4.3.1 calls them certificate-not-trusted. The words themselves never leave.
var untrusted = map[string]bool{
	"self-signed_certificate": true, "self-signed_certificate_in_certificate_chain": true, "unable_to_get_local_issuer_certificate": true,
	"unable_to_get_issuer_certificate": true, "unable_to_verify_the_first_certificate": true, "unsuitable_certificate_purpose": true,
	"certificate_not_trusted": true, "invalid_CA_certificate": true,
}

// explain finds the result-type that says most.
func explain(r *tlsrpt.Report) {
	for i := range r.Policies {
		for j := range r.Policies[i].Details {
			if d := &r.Policies[i].Details[j]; d.Result == tlsrpt.ValidationFailure && untrusted[d.Reason] {
				d.Result = tlsrpt.CertificateNotTrusted
			}
		}
	}
}

// readReport names the file in its errors.
func readReport(path string, now time.Time) (*tlsrpt.Report, error) {
	limits := tlsrpt.DefaultLimits()
	f, err := durable.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, int64(limits.Compressed)+1))
	if err != nil {
		return nil, err
	}
	if len(data) > limits.Compressed {
		return nil, fmt.Errorf("%s: more than %d bytes", path, limits.Compressed)
	}
	r, err := tlsrpt.Read(data, limits)
	if err == nil {
		name := filepath.Base(path)
		r.Attribute(tlsrpt.Hint{Domain: domainOf(name), FileName: name})
		return r, nil
	}
	if info, errStat := f.Stat(); errStat == nil && now.Sub(info.ModTime()).Abs() < fresh {
		return nil, fmt.Errorf("%w: %s may still be written", ErrLater, path)
	}
	return nil, fmt.Errorf("%s: %w", path, err)
}

// domainOf finds the domain in "tlsrpt-DOMAIN-ID-RANDOM.json"; zero in any other name.
func domainOf(name string) policy.Domain {
	text, ours := strings.CutPrefix(strings.TrimSuffix(name, ".json"), "tlsrpt-")
	for range 2 {
		text = text[:max(0, strings.LastIndexByte(text, '-'))]
	}
	d, err := policy.NormalizeDomain(text)
	if !ours || err != nil {
		return policy.Domain{}
	}
	return d
}

// Contribution makes a day's contribution of what was read.
func (s *Spool) Contribution(key Key, day tlsrpt.Day, listed func(policy.Domain) (policy.Policy, bool)) tlsrpt.Contribution {
	return tlsrpt.Scrub(s.reports, day, reportID(key, day), listed)
}

func reportID(key Key, day tlsrpt.Day) string { return fmt.Sprintf("%x", key.ReportID(day)) }
