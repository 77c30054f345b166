// Package records says what a mail domain publishes about TLS, as records to copy: MTA-STS (RFC 8461), where reports go
// (RFC 8460), and TLSA records of its servers' keys (RFC 7672). Each comes with what stands there now. It is pure: what was
// seen goes in, records come out.
//
//	for _, r := range records.For(records.Seen{Domain: d, Route: route, STS: sts, TLSRPT: tlsrpt, Hosts: hosts}) {
//		r.State   // records.Missing
//		r.Text()  // `_mta-sts.a.example. IN TXT "v=STSv1; id=0b6c…;"`
//		r.Note    // what to mind
//	}
//
// What stands there and is right is kept to the letter. What is wrong keeps the owner's choices, and is put right: an
// MTA-STS policy that leaves out an MX host gets one line more, and stays in its mode.
package records
