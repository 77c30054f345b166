// Package doctor says what is wrong with a mail server that follows a list, and how to mend it. It looks at nothing itself:
// its caller gathers Facts (what postconf, the disk, a socket and a resolver say), and Examine turns them into
// findings. Any verdict can so be had again from a row of a table.
//
//	error: doctor.ca.none: Postfix has no CA certificates, so mail to every listed domain waits
//	    found: smtp_tls_CAfile and smtp_tls_CApath are empty, tls_append_default_CA = no (transport smtp)
//	    fix: postconf -e 'smtp_tls_CAfile = /etc/ssl/certs/ca-certificates.crt' && postfix reload
//
// What the rules rest on was measured with Postfix 3.7 or stands in its manual; each says which. History is about the
// past instead: what the mail log says of deliveries to domains that are listed now.
package doctor
