package records

import (
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
	"github.com/starttls-everywhere/policylist/policy/mtasts"
)

// What to mind, beside the MTA-STS policy and its record.
const (
	noteServe = "serve it as text/plain, without a redirect, with a certificate for mta-sts below the domain"
	noteID    = "any new id of letters and digits will do, with each change of the policy file; publish the file first"
	noteLong  = "with a max_age of 10886400 (18 weeks) or more it is the owner's word by itself; with less, the list also asks for the proof"
)

// What is shown of a text that somebody serves as a policy: a web page, say.
const (
	maxNow     = 40 // lines
	maxNowLine = 300
)

// sts are the policy file and the record that leads to it.
func (s Seen) sts(hosts []policy.Domain) []Record {
	wanted, file := s.wanted(hosts)
	record := Record{Kind: STSRecord, Name: "_mta-sts." + s.Domain.String(), Type: "TXT", Note: noteID + aliased(s.STS.Record)}
	fresh := mtasts.NewRecord(wanted.Text()).String()
	switch s.STS.Status {
	case discovery.STSNone:
		record.State, record.Value = Missing, fresh
	case discovery.STSRecordFailed:
		record.State, record.Value = Unknown, fresh
		record.Note = s.STS.Detail + "; " + record.Note
	case discovery.STSRecordMany, discovery.STSRecordInvalid:
		record.State, record.Value, record.Now = Differs, fresh, records("v=stsv1", s.STS.Record.TXT)
		record.Note = s.STS.Detail + "; " + record.Note
	default:
		if file.State == Differs {
			record.State, record.Value, record.Now = Differs, fresh, records("v=stsv1", s.STS.Record.TXT)
			break
		}
		record.State, record.Value, record.Note = There, mtasts.Record{ID: s.STS.ID}.String(), ""
	}
	return []Record{file, record}
}

// records are the texts that begin with a version, in any case.
func records(version string, texts []string) (out []string) {
	for _, t := range texts {
		if strings.HasPrefix(strings.ToLower(t), version) {
			out = append(out, t)
		}
	}
	return out
}

// wanted is the policy that the domain should have, and the file to publish. It begins in mode testing, in which senders
// deliver all the same and report (RFC 8461 section 5).
func (s Seen) wanted(hosts []policy.Domain) (mtasts.Policy, Record) {
	file := Record{Kind: STSPolicy, Name: "https://mta-sts." + s.Domain.String() + "/.well-known/mta-sts.txt", Type: "file", Note: noteServe}
	if len(s.STS.Addresses) > 0 {
		file.Note += aliased(s.STS.Addresses[0])
	}
	p := mtasts.Policy{Mode: mtasts.Testing, MaxAge: mtasts.SelfService}
	valid := s.STS.Policy.Mode == mtasts.Enforce || s.STS.Policy.Mode == mtasts.Testing
	if valid {
		p = s.STS.Policy
	}
	mxs := slices.Clone(p.MXs)
	for _, h := range hosts {
		if m, err := policy.ParseMXPattern(h.String()); err == nil && !p.Allows(h) {
			mxs = append(mxs, m)
		}
	}
	added := len(mxs) > len(p.MXs)
	slices.SortFunc(mxs, func(a, b policy.MXPattern) int { return strings.Compare(a.String(), b.String()) })
	p.MXs = mxs
	file.Value = string(p.Text())
	file.State = s.fileState(valid && !added && p.Strict())
	switch {
	case file.State == Differs && len(s.STS.Body) > 0:
		file.Now = strings.SplitN(strings.TrimRight(string(s.STS.Body), "\r\n"), "\n", maxNow+1)
		file.Now = file.Now[:min(len(file.Now), maxNow)]
		for i, line := range file.Now {
			file.Now[i] = strings.TrimSuffix(line[:min(len(line), maxNowLine)], "\r")
		}
	case file.State == There && p.Track() != mtasts.TrackService:
		file.Note = noteLong
	case file.State == There:
		file.Note = ""
	}
	if s.STS.Detail != "" && file.State != There && s.STS.ID != "" {
		file.Note = s.STS.Detail + "; " + file.Note
	}
	return p, file
}

// fileState compares; right is whether the policy that was fetched, if any, is as it should be.
func (s Seen) fileState(right bool) State {
	switch status := s.STS.Status; {
	case status == discovery.STSOK && right:
		return There
	case status == discovery.STSFetchNoHost, status == discovery.STSFetchStatus && (s.STS.HTTPStatus == 404 || s.STS.HTTPStatus == 410):
		return Missing
	case status == discovery.STSNone, status == discovery.STSRecordMany, status == discovery.STSRecordInvalid, !status.Known():
		return Unknown // without one valid record nobody fetches it
	}
	return Differs
}
