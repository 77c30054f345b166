package doctor

import (
	"strings"

	"github.com/starttls-everywhere/policylist/policy"
)

// Feedback is how telling the list's operator goes, where it is turned on.
type Feedback struct {
	NoKey   string // why there is no key to sign with; "" when there is one
	Canary  bool   // the operator says that mail of this machine reached a domain that is listed and broken on purpose
	Idle    string // why nobody seems to start it; "" when somebody does
	Overdue int    // days whose document was not accepted
	Why     string // what went wrong last; ""
}

func feedback(f Facts) (out []Finding) {
	b := f.Feedback
	if b == nil {
		return nil
	}
	if b.Canary {
		out = append(out, found("doctor.feedback.canary", "", "the answer to the last document was canary-delivered"))
	}
	if b.NoKey != "" {
		out = append(out, found("doctor.feedback.key", "", "%s", b.NoKey))
	}
	if b.Idle != "" {
		out = append(out, found("doctor.feedback.idle", "", "%s", b.Idle))
	}
	if b.Overdue > 0 {
		out = append(out, found("doctor.feedback.overdue", "", "the documents of %d of the last %s", b.Overdue, strings.TrimSuffix("14 days: "+b.Why, ": ")))
	}
	return out
}

func feedbackCodes() []policy.Code {
	return []policy.Code{
		{ID: "doctor.feedback.canary", Severity: policy.Error, Summary: "mail was delivered to a domain that is listed and broken on purpose: this mail server does not enforce the list",
			Fix: "what else doctor finds about tables, sockets and transports; ask Postfix by postmap -q DOMAIN MAP for a listed domain"},
		{ID: "doctor.feedback.key", Severity: policy.Warning, Summary: "feedback is turned on and has no key to sign with, so nothing is sent",
			Fix: "starttls-policy feedback key, and put the record that it prints into the DNS"},
		{ID: "doctor.feedback.idle", Severity: policy.Warning, Summary: "feedback is turned on, and nothing has started it for a day",
			Fix: "systemctl enable --now starttls-policy-feedback.timer, or a line for crontab, or take [feedback] out of the configuration"},
		{ID: "doctor.feedback.overdue", Severity: policy.Warning, Summary: "the list's operator does not accept feedback",
			Fix: "starttls-policy feedback status; is the TXT record of starttls-policy feedback key in the DNS?"},
	}
}
