// Package tlsrpt takes in reports about TLS in mail delivery (RFC 8460), keeps them, and counts what they say.
//
// A document comes by HTTPS POST (Intake), as a file, or as mail that an MTA pipes in. It is read by policy/tlsrpt, held
// against what domains have enrolled, and then it is one transaction: the document is a line of the day's evidence, its
// numbers are added to the tallies, and its key keeps it from being counted twice. What was answered with 2xx or exit
// code 0 is on disk.
//
//	store, err := tlsrpt.Open("tlsrpt", tlsrpt.Options{})
//	token, err := store.Enrol(ctx, domain)        // for https://HOST/tlsrpt/v1/TOKEN in the domain's _smtp._tls record
//	_, err = store.Look(ctx, client, host, domain) // enrolled once the record has that URI
//	intake := tlsrpt.NewIntake(store, tlsrpt.IntakeOptions{Host: "tlsrpt.operator.example"})
//
// A report counts when its submitter is authenticated: mail with an aligned DKIM signature, or a POST signed by a
// contributor's key. Others are kept and shown, and decide nothing. README.md says what is stored, and how to run it;
// PRIVACY.md who sees what, and how long.
package tlsrpt
