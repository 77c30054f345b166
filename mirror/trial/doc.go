// Package trial finds out what would become of mail if listed "testing" policies were enforced, before anybody enforces
// them. It looks in two places, both of this machine:
//
//	Tally    what Postfix's log says of past deliveries: 12 to c.example, 11 good, 1 to a host that the policy does not name
//	Prober   what the servers show now: a TLS handshake with each MX host, QUIT, no mail
//
// What would have failed has a code (Codes). All of it stays on this machine: nothing here sends a report to anybody.
package trial
