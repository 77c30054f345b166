// Package mirror is what is published and how it is believed: the objects of a mirror, the leaves of the log, the definition of
// a valid release (Replay), and the client that follows mirrors without trusting them. It joins package policy, which knows
// mail domains, with package transparency, which knows logs. The format is schema/README.md.
//
// A mirror is a folder of files, behind any web server or in a bucket. Reader reads one, Store writes one; HTTP is a Reader,
// packages dir and s3 have both. All a reader needs begins with one object:
//
//	policy.json.tlog-proof    the newest release's leaf, its place in the log, the signed checkpoint
//	  -> trust/<v>            whose signatures count: followed from the version that a person compared
//	  -> list/<sha256>.zst    the list, by the digest in the leaf
//	  -> tile/entries/…       or only what changed since the release that is held
//
// A client keeps a list in a folder:
//
//	r, err := mirror.NewHTTP("https://list.example/", "agent/1.0")
//	_, err = mirror.Join(ctx, dir, r, fingerprint)        // once; the fingerprint comes from the operator, not from r
//	c := &mirror.Client{Dir: dir, Sources: []mirror.Source{{Name: "list.example", Reader: r}}, Now: time.Now, Log: log}
//	out, err := c.Update(ctx)                             // err wraps ErrNoMirror or ErrSecurity, or is local
//	p, listed := out.List.Lookup(domain)                  // out.Freshness says whether it may still be believed
//
// An update takes one of two ways, and gives the same list by both: delta replays the entries since the held tree, snapshot takes
// the list by its digest and proves that the held tree is a prefix of the new one. Nothing is written before everything is
// verified, and a process that is killed at any point leaves the old list or the new one. What goes wrong with one mirror is
// told in Outcome.Problems, and the next one is asked. Two signed histories are evidence, kept in a file (Evidence), and
// nothing that either of them says is taken.
//
// Sync copies a mirror, verifying each object before others can see it; audit (below) replays the whole log.
package mirror
