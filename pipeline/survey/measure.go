package survey

// Measure is a question that a survey asks of each domain, and its answers.
type Measure struct {
	Name    string
	Classes []string // in the order of print; a domain is in one of them
}

const (
	inconclusive = "inconclusive" // it could not be found out
	noMail       = "no-mail"      // nobody can deliver mail to the domain: nothing to encrypt
	none         = "none"
)

// The measures by their places in what Measures returns.
const (
	verdictMeasure = iota
	mxMeasure
	starttlsMeasure
	certificateMeasure
	versionMeasure
	stsMeasure
	daneMeasure
	tlsrptMeasure
	listMeasure
	measureCount
)

// Measures are all measures, in the order of print. The last, "list", is told only where there is a list.
func Measures() []Measure {
	table := measureTable()
	return table[:]
}

func measureTable() [measureCount]Measure {
	return [measureCount]Measure{
		verdictMeasure:     {"verdict", []string{"pass", "warn", "fail", inconclusive}},
		mxMeasure:          {"mx", []string{"hosts", "implicit", "null", none, "nxdomain", inconclusive}},
		starttlsMeasure:    {"starttls", []string{"all", "some", none, noMail, inconclusive}},
		certificateMeasure: {"certificate", []string{"valid", "some", "invalid", "no-tls", noMail, inconclusive}},
		versionMeasure:     {"tls", []string{"1.3", "1.2", "older", "no-tls", noMail, inconclusive}},
		stsMeasure:         {"mta-sts", []string{"enforce", "testing", "off", "mismatch", "broken", none, inconclusive}},
		daneMeasure:        {"dane", []string{"valid", "partial", "mismatch", "unusable", none, "insecure", noMail, inconclusive}},
		tlsrptMeasure:      {"tlsrpt", []string{"valid", "broken", none, inconclusive}},
		listMeasure:        {"list", []string{"enforce", "testing", "unlisted"}},
	}
}

// counts reports whether a class says something about deployment: shares are of the domains in such classes.
func counts(class string) bool { return class != inconclusive && class != noMail }
