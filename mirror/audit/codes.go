package audit

import (
	"slices"

	"github.com/starttls-everywhere/policylist/policy"
)

// The codes of findings.
const (
	TrustMissing     = "audit.trust-missing"
	TrustInvalid     = "audit.trust-invalid"
	TrustNotLogged   = "audit.trust-not-logged"
	PointerMissing   = "audit.pointer-missing"
	PointerInvalid   = "audit.pointer-invalid"
	CheckpointLost   = "audit.checkpoint-missing"
	CheckpointOther  = "audit.checkpoint-differs"
	EntriesMissing   = "audit.entries-missing"
	EntriesMismatch  = "audit.entries-mismatch"
	TileMissing      = "audit.tile-missing"
	TileMismatch     = "audit.tile-mismatch"
	RootMismatch     = "audit.root-mismatch"
	TailInvalid      = "audit.tail-invalid"
	LeafNoEffect     = "audit.leaf-no-effect"
	ReleaseMissing   = "audit.release-missing"
	ReleaseInvalid   = "audit.release-invalid"
	ListMissing      = "audit.list-missing"
	ListMismatch     = "audit.list-mismatch"
	EvidenceMissing  = "audit.evidence-missing"
	EvidenceMismatch = "audit.evidence-mismatch"
	PolicyMissing    = "audit.policy-missing"
	PolicyMismatch   = "audit.policy-mismatch"
	BundleInvalid    = "audit.bundle-invalid"
	KeylessInvalid   = "audit.keyless-invalid"
	Unexpected       = "audit.unexpected-object"
	ContentType      = "audit.content-type"
	CacheControl     = "audit.cache-control"
	PointerCached    = "audit.pointer-cached"
	MirrorLags       = "audit.mirror-lags"
	MirrorStuck      = "audit.mirror-stuck"
	MirrorsFork      = "audit.mirrors-fork"
)

const (
	fixRepair  = "tell the mirror's operator to run \"starttls-list mirror SRC DST --repair\" from a good mirror"
	fixAsk     = "compare with other mirrors; when all show it, ask the list's operator to explain it in public"
	fixHeaders = "tell the mirror's operator to copy with \"starttls-list mirror\" to a store that keeps headers, or to set them in the web server"
	fixFork    = "keep a copy of the mirror as evidence and compare with other mirrors: the log's key signed this"
)

// Codes returns the table of this package.
func Codes() []policy.Code {
	e := func(id, summary, fix string) policy.Code {
		return policy.Code{ID: id, Severity: policy.Error, Summary: summary, Fix: fix}
	}
	w := func(id, summary, fix string) policy.Code {
		return policy.Code{ID: id, Severity: policy.Warning, Summary: summary, Fix: fix}
	}
	return append(append(monitorCodes(), freshnessCodes()...), []policy.Code{
		e(TrustMissing, "the mirror lacks a trust version", fixRepair),
		e(TrustInvalid, "a trust version is not the one given, or may not follow the one before", fixAsk),
		w(TrustNotLogged, "the newest trust version is not in the log yet", "normal for the minutes before the first release under it; otherwise ask the list's operator"),
		e(PointerMissing, "the mirror has no policy.json.tlog-proof", fixRepair),
		e(PointerInvalid, "policy.json.tlog-proof does not verify", fixRepair),
		e(CheckpointLost, "the mirror has no checkpoint", fixRepair),
		e(CheckpointOther, "checkpoint is not the one in policy.json.tlog-proof", "normal for the moment of publishing: audit again; otherwise "+fixRepair),
		e(EntriesMissing, "an entry bundle is missing", fixRepair),
		e(EntriesMismatch, "an entry bundle does not hold the entries that the log signed", fixRepair),
		e(TileMissing, "a tile is missing", fixRepair),
		e(TileMismatch, "a tile is not what the entries hash to", fixRepair),
		e(RootMismatch, "the entries do not hash to the root that the log signed", fixFork),
		e(TailInvalid, "the last entry under the checkpoint is not a valid release", fixFork),
		w(LeafNoEffect, "a log entry has no effect", "an abandoned attempt leaves such entries, and so does a thief of a key: ask the list's operator"),
		e(ReleaseMissing, "a release has no proof", fixRepair),
		e(ReleaseInvalid, "a release's proof is not about the release in the log", fixRepair),
		e(ListMissing, "a recent list is missing", fixRepair),
		e(ListMismatch, "a list has another digest than its name says", fixRepair),
		e(EvidenceMissing, "recent evidence is missing", fixRepair),
		e(EvidenceMismatch, "evidence has another digest than its name says", fixRepair),
		e(PolicyMissing, "the mirror has no policy.json", fixRepair),
		e(PolicyMismatch, "policy.json is not the list of the newest release", "normal for the moment of publishing: audit again; otherwise "+fixRepair),
		e(BundleInvalid, "policy.json.sigstore.json is no release key's signature over the newest list", fixRepair),
		e(KeylessInvalid, "policy.json.keyless.sigstore.json is not about the newest list, or its certificate's key did not sign it", "normal for the moment of publishing: audit again; otherwise "+fixRepair),
		w(Unexpected, "the mirror has an object that no release put there", "harmless to clients; the mirror's operator may remove it"),
		w(ContentType, "the mirror sends another content type than the format says", fixHeaders),
		w(CacheControl, "the mirror sends another Cache-Control header than the format says", fixHeaders),
		e(PointerCached, "the mirror lets caches keep a pointer: clients and monitors behind them see old releases", fixHeaders),
		w(MirrorLags, "the mirror has an older release than another", "normal for the time that mirrors take to copy: audit again; otherwise ask the mirror's operator whether its timer runs"),
		e(MirrorStuck, "the mirror's newest release is more than 48 hours older than another's: clients call that stale", "ask the mirror's operator whether its timer runs, or leave it out of configurations"),
		e(MirrorsFork, "two mirrors show two signed histories of one log", "publish the evidence file; let no client update until it is explained"),
	}...)
}

// finding makes a finding about the object at path.
func finding(id, path, summary string) policy.Finding {
	codes := Codes()
	i := slices.IndexFunc(codes, func(c policy.Code) bool { return c.ID == id })
	f := policy.Finding{Code: id, Severity: codes[i].Severity, Summary: codes[i].Summary, Fix: codes[i].Fix}
	f.File = path
	if summary != "" {
		f.Summary += ": " + summary
	}
	return f
}
