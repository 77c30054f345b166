// Package pipeline carries a list from its source to its mirrors:
//
//	Checked -> Probed -> Signed -> Logged -> Published
//
// Each stage is a type that only the stage before can make, so that publishing something unlogged, or logging
// something unsigned, does not compile. Publisher conducts them. Its state is a folder:
//
//	lock           one publisher at a time
//	log/           the transparency log; log-<v>/ the one that trust version v began
//	outbox/<n>/    every byte of release n that could come out differently next time
//	journal.json   the last step that was done, for people and for recovery
//	looks.jsonl.zst  what the gate remembers of each domain: what was seen lately, and its changes in the log. Written before
//	               the release that goes by it; rebuilt from the outbox when it is lost
//	verify/        a client for each mirror, which follows it as real ones do
//	site/          what the pages were made from, so that the next release reads only what is new; any run can begin it anew
//	witnesses.json the size that each witness cosigned last: a hint
//	evidence/      what shows that this log has two histories, or that a witness says so
//	recovering     only while Recover puts a new state into the place of an old one, or when it died there
//	replaced-…/    what Recover replaced
//
// Killing the process after any step and starting again goes on with the bytes in the outbox.
//
// # How it hangs together
//
// From the owner of a domain to somebody else's mail server. Whoever stands below the mirrors believes nothing that comes
// from above but what the keys of a trust version signed; names in brackets are packages.
//
//	  domain owner          maintainer             vantages             root keys, offline
//	  DNS: proof, MX,       pull request           [pipeline/probe]     [cmd starttls-list trust]
//	  MTA-STS, TLSRPT           |                      |                     |
//	       |                    v                      v                     v
//	       |             source in Git            evidence, signed     trust/1, trust/2, …
//	       |             [policy]                 [policy/discovery]   [transparency]
//	       |                    |                      |                     |
//	       +--------------------+-----------+----------+---------------------+
//	                                        v
//	  Checked   rules and schema            [policy, schema]        every fault a code
//	  Probed    what works, seen lately     [pipeline/probe]        a gate that holds back      [policy/gate]
//	  Signed    the release leaf            [pipeline/signing]      files, KMS, devices
//	  Logged    entries, tree, checkpoint   [transparency/…log]     cosigned by witnesses       [transparency/witness]
//	  Published objects, pointer last       [mirror/dir, mirror/s3] also pages and feeds        [mirror/site]
//	                                        |
//	=================================== mirrors ====================================
//	  policy.json.tlog-proof  checkpoint  policy.json  list/  tile/  trust/  release/  evidence/
//	         |                       |                        |                     |
//	         v                       v                        v                     v
//	  client [mirror]         mirror operator          auditor, monitor      other people's tools
//	  starttls-policy         starttls-list mirror     [mirror/audit]        cosign, gpgv, the old
//	         |                [mirror]                 starttls-list audit   client, schema/testdata/reader
//	---------|------------------------ one machine ----------------------------------
//	         v
//	  Postfix map, cdb or socketmap, Exim, sendmail, OpenSMTPD   [policy/mta, mirror/socketmap]
//	         |
//	         +--- TLS reports, a day's numbers, if the administrator wants to ---> list operator   [mirror/feedback, pipeline/tlsrpt]
//
// Imports go down only: cmd, pipeline, mirror, and then policy, transparency and schema, which import none of each other.
// policy knows mail domains and no log, transparency a log and no mail domain; mirror joins the two, and pipeline adds what
// only the operator has: keys, probes, state.
//
// # What a crash leaves behind
//
// Step by step, what is there when the process dies before the next one, and what the next run does about it:
//
//	(before)   at most an outbox/.tmp-… folder: swept, and the release is made anew, with whatever the source has by then
//	prepared   outbox/<n>/ whole, by one rename, with every signature that people will see: these bytes go on, never others
//	logged     the log's old tree or its new one, since its root file is replaced last: the same entries are appended at the
//	           same index, which changes nothing where they stand already
//	spread     tiles and entries on one mirror, to which nothing refers yet: written again, the same bytes
//	signed     outbox/<n>/checkpoint (with witnesses first checkpoint.signed, with what cosignatures there are): read
//	           back, so that no second signature is made; then proof
//	published  some mirrors with the new pointer, some with the old, one perhaps in between: new policy.json, old
//	           pointer. Clients go by the pointer and what it names, which was there before it. All mirrors are brought
//	           up to the release, which is found unfinished in meta.json
//	done       nothing to do; a mirror that was down gets all it missed from the outbox
//
// An operation that was carried out but whose answer was lost is the same as a crash after it. The journal may be one
// step behind: nobody goes by it.
//
// # State on S3
//
// Where runs begin with an empty disk, the state is in a Vault: a private place in a bucket, of which the folder is a
// working copy. A run
//
//	takes the lease   lease.json: its epoch, one more than the last; the publisher's name, if one is configured; until
//	                  when, by the store's clock. Another run's lease is respected until its end, so that one that died
//	                  costs the list at most that term
//	claims            state.json with its epoch in it, on condition that it still is what was read
//	restores          the folder from state.json and the blobs that it names by their digests, and computes the log's
//	                  root anew from its leaves
//	saves             after each step above that leaves something behind, before the next relies on it: new files as
//	                  blobs, then state.json on condition that it still is what this run wrote last. Prepared, logged and
//	                  signed are in the bucket before anybody can see them
//	looks             at the lease before it signs and before it shows a release, and renews it when half of it is over
//	gives             the lease back
//
// A crash between two replacements of state.json means that the work since the first never happened, and the next run,
// from an empty folder, goes on from there. A run that slept through its lease finds at its next save that state.json is
// another's (ErrFenced); it has signed nothing that anybody sees. All that rests on the store's conditional writes, which
// race on some servers: every vault is probed, and where they do not hold nothing is released without a configured
// publisher's name, which then has to be the lease's. Nothing but the private files (locks, unfinished work, verify/) is
// left out of the vault.
//
// # When the state is lost
//
// Recover rebuilds it from mirrors: see there. It is also the one that replaces a state that is older than its mirrors,
// from which Release refuses to go on.
package pipeline
