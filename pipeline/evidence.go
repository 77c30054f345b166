package pipeline

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
)

// maxEvidenceAge is how old a scan may be when a release rests on it; maxEvidenceSkew how far a vantage's clock may be
// ahead of ours.
const (
	maxEvidenceAge  = 24 * time.Hour
	maxEvidenceSkew = 10 * time.Minute
)

// EvidenceSource gives the evidence that a release takes instead of looking itself: one merged file, or the files of the
// vantages, which the release then merges. The files are read after it returned, each several times.
type EvidenceSource func(ctx context.Context) ([]probe.EvidenceFile, error)

// observed is evidence as it goes into a release: merged lines, or those of the releasing host.
type observed struct {
	digest [32]byte // of the lines
	packed []byte   // zstd
}

// evidencePacker compresses lines while they come: of a large list they would not fit twice into memory.
type evidencePacker struct {
	sum  hash.Hash
	out  bytes.Buffer
	z    *zstd.Encoder
	size int64
}

func newEvidencePacker() (*evidencePacker, error) {
	p := &evidencePacker{sum: sha256.New()}
	var err error
	p.z, err = zstd.NewWriter(&p.out, zstd.WithEncoderConcurrency(1))
	return p, err
}

// maxObservations is mirror.MaxObservationsBytes, but in tests.
var maxObservations int64 = mirror.MaxObservationsBytes

// errEvidenceSize is for evidence that mirrors and auditors would not take.
var errEvidenceSize = fmt.Errorf("the evidence is larger than the %d bytes, or compressed the %d, that mirrors take",
	mirror.MaxObservationsBytes, mirror.MaxPackedEvidence)

// Write implements io.Writer.
func (p *evidencePacker) Write(b []byte) (int, error) {
	if p.size += int64(len(b)); p.size > maxObservations {
		return 0, errEvidenceSize
	}
	if p.out.Len() > mirror.MaxPackedEvidence {
		return 0, errEvidenceSize
	}
	p.sum.Write(b)
	return p.z.Write(b)
}

// done ends the stream; nothing may be written after it.
func (p *evidencePacker) done() (*observed, error) {
	if err := p.z.Close(); err != nil {
		return nil, err
	}
	o := &observed{packed: p.out.Bytes()}
	p.sum.Sum(o.digest[:0])
	return o, nil
}

// vouched takes what the vantages saw of targets. Evidence that is no good, or too old, lets nothing new in and raises
// an alarm, as a finding; the release goes out all the same, or clients' lists would expire for want of a probe.
func (p *Publisher) vouched(ctx context.Context, c Checked, targets []probe.Target, out *Probed) (map[policy.Domain]probe.Result, error) {
	wanted := make(map[policy.Domain]policy.Policy, len(targets))
	for _, t := range targets {
		wanted[t.Domain] = t.Policy
	}
	var results map[policy.Domain]probe.Result
	try := func() func(probe.Merged) {
		results, out.voters = make(map[policy.Domain]probe.Result, len(targets)), 0
		clear(out.looks)
		return func(m probe.Merged) {
			out.voters = max(out.voters, lookers(m))
			if pol, ok := wanted[m.Domain]; ok {
				results[m.Domain] = about(m, pol)
				out.seeMerged(m, p.Now())
			}
		}
	}
	out.quorum = c.Source().Settings().Quorum
	merged, report, err := p.merge(ctx, c.Source().Settings(), out.feedbackLine(), try, out)
	code := ""
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, errStale):
		code = codeEvidenceStale
	case err != nil:
		code = codeEvidenceRefused
	}
	if err != nil {
		out.findings = append(out.findings, evidenceFinding(code, "", err.Error()+": "))
		results, out.incomplete = nil, true
		clear(out.looks)
	} else {
		out.evidence, code = merged, codeEvidenceAbsent
	}
	for _, note := range report.Notes {
		p.Log.Warn("evidence", "note", note)
	}
	return fill(results, targets, code), nil
}

// merge reads the evidence, merges it where that has not been done, and verifies it by the vantages of the list. last is
// written behind it.
func (p *Publisher) merge(ctx context.Context, s policy.Settings, last []byte, try func() func(probe.Merged), out *Probed) (*observed, probe.MergeReport, error) {
	var report probe.MergeReport
	if s.VantageKeys() == nil {
		return nil, report, errors.New("list.json names no vantages, so nobody's evidence counts")
	}
	files, err := p.Evidence(ctx)
	if err != nil {
		return nil, report, err
	}
	var packer *evidencePacker
	if joined, err := alreadyMerged(files); err != nil {
		return nil, report, err
	} else if joined {
		packer, report, err = p.takeMerged(ctx, s, files[0], try())
		if err != nil {
			return nil, report, err
		}
	} else if packer, report, err = p.joinScans(ctx, s, files, try, out); err != nil {
		return nil, report, err
	}
	if _, err := packer.Write(last); err != nil {
		return nil, report, err
	}
	merged, err := packer.done()
	return merged, report, err
}

// seeMerged keeps what the vantages saw, for the gate.
func (p *Probed) seeMerged(m probe.Merged, now time.Time) {
	if p.looks != nil {
		p.looks[m.Domain] = lookOfMerged(m, now)
	}
}

// alreadyMerged reports whether there is one file and it joins several vantages.
func alreadyMerged(files []probe.EvidenceFile) (bool, error) {
	if len(files) != 1 {
		return false, nil
	}
	in, err := files[0].Open()
	if err != nil {
		return false, err
	}
	defer in.Close()
	r, err := probe.NewReader(in, probe.MaxMerged)
	if err != nil {
		return false, fmt.Errorf("%s: %w", files[0].Name, err)
	}
	return r.Merged(), nil
}

// takeMerged verifies a merged file and keeps its bytes. It was merged by somebody who could have left a vantage out, and
// so is taken as a whole or not at all.
func (p *Publisher) takeMerged(ctx context.Context, s policy.Settings, f probe.EvidenceFile, each func(probe.Merged)) (*evidencePacker, probe.MergeReport, error) {
	packer, err := newEvidencePacker()
	if err != nil {
		return nil, probe.MergeReport{}, err
	}
	in, err := f.Open()
	if err != nil {
		return nil, probe.MergeReport{}, err
	}
	defer in.Close()
	o := probe.MergeOptions{Quorum: s.Quorum, Keys: s.VantageKeys(), Window: maxEvidenceAge}
	report, err := probe.VerifyMerged(io.TeeReader(in, packer), mirror.MaxObservationsBytes, o, func(m probe.Merged) error { each(m); return ctx.Err() })
	if err == nil && report.Feedback != nil {
		err = errors.New("it is a release's evidence, and ends in a feedback table: take what probe merge wrote")
	}
	now := p.Now()
	switch {
	case err != nil:
	case now.Sub(report.Oldest) > maxEvidenceAge:
		err = fmt.Errorf("%w: the oldest of the scans began at %s", errStale, report.Oldest.Format(policy.TimeFormat))
	case report.Newest.Sub(now) > maxEvidenceSkew:
		// A vantage whose clock is ahead would otherwise lend its scan a longer life than the others have.
		err = fmt.Errorf("%w: the scan of vantage %s began at %s", errStale, report.NewestOf, report.Newest.Format(policy.TimeFormat))
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", f.Name, err)
	}
	return packer, report, err
}

// about is what merged evidence says of a domain as the source has it now: nothing, when the vantages held it against
// another entry.
func about(m probe.Merged, pol policy.Policy) probe.Result {
	if r := m.Result(); bytes.Equal(m.Policy, pol.AppendJSON(nil)) {
		return r
	}
	return nothing(m.Domain, codeEvidenceOther)
}

// fill gives the targets that the evidence does not speak about a result that says so.
func fill(results map[policy.Domain]probe.Result, targets []probe.Target, code string) map[policy.Domain]probe.Result {
	if results == nil {
		results = make(map[policy.Domain]probe.Result, len(targets))
	}
	for _, t := range targets {
		if _, ok := results[t.Domain]; !ok {
			results[t.Domain] = nothing(t.Domain, code)
		}
	}
	return results
}

func nothing(d policy.Domain, code string) probe.Result {
	return probe.Result{Domain: d, Judgement: probe.Judgement{
		Verdict: probe.Inconclusive, Codes: []string{code}, Findings: []policy.Finding{evidenceFinding(code, d.String(), "")},
	}}
}

func evidenceFinding(code, domain, what string) policy.Finding {
	for _, c := range evidenceCodes() {
		if c.ID == code {
			return policy.Finding{Code: code, Severity: c.Severity, Domain: domain, Summary: what + c.Summary, Fix: c.Fix}
		}
	}
	return policy.Finding{Code: code, Severity: policy.Error, Domain: domain, Summary: what}
}
