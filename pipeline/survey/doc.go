// Package survey counts what mail domains have deployed of STARTTLS, certificates, MTA-STS, DANE and TLSRPT: over all of
// them, by top-level domain and public suffix, by who runs their MX hosts, and by what is wrong (the codes of package
// probe). It is a pure function of evidence, so that the numbers of a day can be made again from that day's file.
//
//	t := survey.New(survey.Options{Min: 10})
//	err := probe.ReadSorted(files, t.Add)
//	report := t.Report()
//	report.Total.Measures["mta-sts"]["enforce"] // domains
//
// Every measure puts each domain into one class, so that the classes of a measure add up to the domains. What could not be
// found out is the class "inconclusive" of every measure, and never a failure. README.md beside this file says what each
// class means.
package survey
