package probe

import (
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/discovery"
)

func reportCodes() []effect {
	const write = "write \"v=TLSRPTv1; rua=mailto:<address>\" or \"rua=https://<address>\" at _smtp._tls.<domain>"
	return []effect{
		warns("tlsrpt.missing", "R21", "the entry is testing, but the domain asks for no reports about TLS: testing then teaches nobody anything",
			write),
		warns("tlsrpt.misspelt", "R21", "a record at _smtp._tls looks like a TLSRPT record and is none", write),
		warns("tlsrpt.many", "R21", "there are several TLSRPT records, which to senders is the same as none",
			"keep one record that begins with v=TLSRPTv1"),
		warns("tlsrpt.invalid", "R21", "the TLSRPT record names nobody whom a report could be sent to", write),
		warns("tlsrpt.faulty", "R21", "a part of the TLSRPT record is of no use", write),
		notes("tlsrpt.lookup-failed", "R36", "whether there is a TLSRPT record could not be found out; mail is not affected",
			"check that all name servers of the domain answer questions for TXT at _smtp._tls"),
		notes("proof.found", "R49", "the owner's proof of control stands in the DNS",
			"nothing; remove the record when the change is made"),
		notes("proof.expired", "R49", "the proof of control has expired", "remove the record, or renew its exp"),
		notes("proof.lookup-failed", "R49", "whether there is a proof of control could not be found out",
			"check that all name servers of the domain answer questions for TXT at _starttls-policy"),
		warns("proof.many", "R49", "there are several proofs of control, so none counts",
			"keep one record that begins with v=STP1"),
		warns("proof.invalid", "R49", "the proof of control is broken, so it does not count",
			"write \"v=STP1; change=<digest>; exp=YYYY-MM-DD\", or remove or emergency in change's place"),
		warns("proof.too-far", "R49", "the proof of control expires more than 60 days from now, so it does not count",
			"choose an earlier exp"),
	}
}

// tlsrpt judges where reports go. No mail depends on it; an entry in testing is there to be reported about (R21).
func (j *judge) tlsrpt(t *TLSRPT) {
	if t == nil {
		return
	}
	faulty := map[discovery.TLSRPTStatus]string{
		discovery.TLSRPTNone: "tlsrpt.misspelt", discovery.TLSRPTMany: "tlsrpt.many",
		discovery.TLSRPTInvalid: "tlsrpt.invalid", discovery.TLSRPTOK: "tlsrpt.faulty",
	}[discovery.TLSRPTStatus(t.Status)]
	switch {
	case t.Status == string(discovery.TLSRPTFailed):
		j.add("tlsrpt.lookup-failed", "%s", j.domain)
	case len(t.Faults) > 0 && faulty != "":
		j.add(faulty, "%s (%s)", j.domain, list(t.Faults))
	}
	known := t.Status == string(discovery.TLSRPTNone)
	if known && j.policy.Mode == policy.Testing {
		j.add("tlsrpt.missing", "%s", j.domain)
	}
}

// proof tells what the owner asks for; what comes of it is the gate's to decide.
func (j *judge) proof(p *Proof) {
	if p == nil {
		return
	}
	id := map[discovery.ProofStatus]string{
		discovery.ProofOK: "proof.found", discovery.ProofMany: "proof.many", discovery.ProofInvalid: "proof.invalid",
		discovery.ProofExpired: "proof.expired", discovery.ProofTooFar: "proof.too-far", discovery.ProofFailed: "proof.lookup-failed",
	}[discovery.ProofStatus(p.Status)]
	detail := p.Detail
	if id == "proof.found" {
		detail = p.Kind
		if p.Change != "" {
			detail += "=" + p.Change
		}
		detail += ", until " + p.Expires
	}
	if id != "" {
		j.add(id, "%s", join(j.domain.String(), detail))
	}
}
