package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
)

// errStale is for evidence that nothing but its time speaks against.
var errStale = errors.New("no scans of the last 24 hours")

// joinScans merges what the vantages left. One whose files are no good counts as absent, with an alarm that names it, and the
// others decide while they are a quorum: else whoever holds one vantage could keep the list from demoting anybody, and all
// that is new from joining. try begins with nothing seen.
func (p *Publisher) joinScans(ctx context.Context, s policy.Settings, files []probe.EvidenceFile, try func() func(probe.Merged), out *Probed) (*evidencePacker, probe.MergeReport, error) {
	var report probe.MergeReport
	o := probe.UsableOptions{Keys: s.VantageKeys(), Earliest: p.Now().Add(-maxEvidenceAge), Latest: p.Now().Add(maxEvidenceSkew)}
	scans, bad, err := probe.Usable(ctx, files, o)
	for err == nil {
		if len(scans) == 0 || len(bad) > 0 && len(scans) < s.Quorum {
			return nil, report, refusal(bad)
		}
		var packer *evidencePacker
		if packer, err = newEvidencePacker(); err != nil {
			break
		}
		report, err = p.join(ctx, packer, s, scans, try())
		if err == nil {
			out.absent(bad)
			return packer, report, nil
		}
		if !errors.Is(err, errEvidenceSize) || ctx.Err() != nil {
			break
		}
		// A vantage may sign whatever it likes, for as long as it likes.
		most := slices.MaxFunc(scans, func(a, b probe.Scan) int { return cmp.Compare(a.Bytes, b.Bytes) })
		bad = append(bad, probe.Unusable{File: most.Files[0].Name, Vantage: most.Vantage, Err: fmt.Errorf("%s: vantage %s left the most: %w", most.Files[0].Name, most.Vantage, err)})
		scans, err = probe.Without(scans, most.Vantage), nil
	}
	return nil, report, err
}

func (p *Publisher) join(ctx context.Context, packer *evidencePacker, s policy.Settings, scans []probe.Scan, each func(probe.Merged)) (probe.MergeReport, error) {
	var files []probe.EvidenceFile
	for _, scan := range scans {
		files = append(files, scan.Files...)
	}
	o := probe.MergeOptions{Quorum: s.Quorum, Keys: s.VantageKeys()}
	return probe.Merge(packer, files, o, func(m probe.Merged) error { each(m); return ctx.Err() })
}

// refusal is why no quorum is left.
func refusal(bad []probe.Unusable) error {
	if len(bad) == 0 {
		return fmt.Errorf("%w: no file", probe.ErrEvidence)
	}
	var why error
	aged := true
	for _, b := range bad[:min(len(bad), maxNamed)] {
		if why == nil {
			why = b.Err
		} else {
			why = fmt.Errorf("%w; %w", why, b.Err)
		}
	}
	for _, b := range bad {
		aged = aged && b.Aged
	}
	if aged {
		return fmt.Errorf("%w: %w", errStale, why)
	}
	return why
}

// absent raises the alarm about vantages that count as absent.
func (p *Probed) absent(bad []probe.Unusable) {
	for i, b := range bad {
		if i == maxNamed {
			p.findings = append(p.findings, evidenceFinding(codeEvidenceVantage, "", fmt.Sprintf("and %d more files: ", len(bad)-i)))
			return
		}
		p.findings = append(p.findings, evidenceFinding(codeEvidenceVantage, "", b.Err.Error()+": "))
	}
}
