package pipeline

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/starttls-everywhere/policylist/pipeline/probe"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/gate"
	"github.com/starttls-everywhere/policylist/policy/proof"
)

// codeWithdrawn voids what a vantage saw: its own network looked wrong.
const codeWithdrawn = "vantage.withdrawn"

// lookOfMerged is what vantages together had seen of a domain by now. Which entry each held it against does not matter here.
// One whose observation makes no sense could not tell: it neither counts for anything nor keeps the others' evidence out. One
// that says when it will look does not count at all: a look that seems to come later would keep every honest one out
// until then.
func lookOfMerged(m probe.Merged, now time.Time) gate.Look {
	var look gate.Look
	for _, v := range m.Votes {
		if v.Void == codeWithdrawn || v.At.Sub(now) > maxEvidenceSkew {
			continue
		}
		look.Voters++
		if v.At.After(look.At) {
			look.At = v.At
		}
		r, err := v.Record()
		if err != nil {
			continue
		}
		if s, err := r.Sight(); err == nil {
			addSight(&look, s)
		}
	}
	finishLook(&look)
	return look
}

// lookOfResult is what the releasing host saw by itself.
func lookOfResult(r probe.Result) gate.Look {
	var record probe.Record
	if err := json.Unmarshal(r.Line, &record); err != nil {
		return gate.Look{}
	}
	var look gate.Look
	var err error
	if look.At, err = policy.ParseTime(record.At); err != nil || slices.Contains(record.Codes, codeWithdrawn) {
		return look
	}
	look.Voters++
	if s, err := record.Sight(); err == nil {
		addSight(&look, s)
	}
	finishLook(&look)
	return look
}

// addSight adds what one voter could tell.
func addSight(look *gate.Look, s probe.Sight) {
	switch s.Verdict {
	case probe.Pass, probe.Warn:
		look.Good++
	case probe.Fail:
		look.Bad++
		look.Codes = append(look.Codes, failing(s.Judgement)...)
		if slices.ContainsFunc(s.Codes, gate.HardFault) {
			look.Hard++
		}
		if slices.Contains(s.Codes, "dns.nxdomain") {
			look.Gone++
		}
	}
	for _, host := range s.Live {
		i := slices.IndexFunc(look.Live, func(l gate.LiveMX) bool { return l.Host == host })
		if i < 0 {
			i = len(look.Live)
			look.Live = append(look.Live, gate.LiveMX{Host: host})
		}
		look.Live[i].Vantages++
	}
	if s.KnowsSTS {
		addSTS(look, s)
	}
	if s.Proof.Status != "" {
		addProof(look, s.Proof)
	}
}

// failing are the codes of what is wrong, without remarks.
func failing(j probe.Judgement) (codes []string) {
	for _, f := range j.Findings {
		if f.Severity == policy.Error {
			codes = append(codes, f.Code)
		}
	}
	return codes
}

func addSTS(look *gate.Look, s probe.Sight) {
	var seen gate.STS
	if s.STS != nil {
		seen = gate.STS{Mode: s.STS.Mode, MXs: s.STS.MXs, Track: s.STS.Track()}
		if len(seen.MXs) > policy.MaxMXs {
			seen.MXs = nil // no entry can follow it, and nobody shall fill our state with it
		}
	}
	i := slices.IndexFunc(look.STS, func(v gate.STSSeen) bool {
		return v.Mode == seen.Mode && v.Track == seen.Track && slices.Equal(v.MXs, seen.MXs)
	})
	if i < 0 {
		i = len(look.STS)
		look.STS = append(look.STS, gate.STSSeen{STS: seen})
	}
	look.STS[i].Vantages++
}

func addProof(look *gate.Look, r proof.Reading) {
	r.Detail = ""
	i := slices.IndexFunc(look.Proofs, func(p gate.ProofSeen) bool { return p.Reading == r })
	if i < 0 {
		i = len(look.Proofs)
		look.Proofs = append(look.Proofs, gate.ProofSeen{Reading: r})
	}
	look.Proofs[i].Vantages++
}

// finishLook brings a look into its one form.
func finishLook(look *gate.Look) {
	slices.Sort(look.Codes)
	look.Codes = slices.Compact(look.Codes)
	slices.SortFunc(look.Live, func(a, b gate.LiveMX) int { return cmp.Compare(a.Host.String(), b.Host.String()) })
	slices.SortFunc(look.STS, func(a, b gate.STSSeen) int { return cmp.Compare(a.String(), b.String()) })
	slices.SortFunc(look.Proofs, func(a, b gate.ProofSeen) int {
		return cmp.Or(cmp.Compare(a.Reading.Status, b.Reading.Status), cmp.Compare(a.Reading.String(), b.Reading.String()))
	})
}
