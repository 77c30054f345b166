package audit

import "github.com/starttls-everywhere/policylist/policy"

// The codes of Freshness.
const (
	FreshUnreachable = "freshness.unreachable"
	FreshContent     = "freshness.content"
	FreshFork        = "freshness.fork"
	FreshAging       = "freshness.release-old"
	FreshStale       = "freshness.release-stale"
	FreshHalfLife    = "freshness.half-life"
	FreshExpired     = "freshness.expired"
	FreshTrustSoon   = "freshness.trust-expires"
	FreshTrustLast   = "freshness.trust-expires-soon"
	FreshTrustEnd    = "freshness.trust-expired"
	FreshQuorum      = "freshness.quorum-old"
	FreshCosignature = "freshness.cosignature-old"
	FreshLags        = "freshness.mirror-lags"
	FreshStuck       = "freshness.mirror-stuck"
	FreshClock       = "freshness.clock"
	FreshEnded       = "freshness.ended"
)

// freshnessCodes are notices (nothing to do), warnings (before clients notice) and errors (clients notice, or soon will).
func freshnessCodes() []policy.Code {
	c := func(severity policy.Severity, id, summary, fix string, rules ...string) policy.Code {
		return policy.Code{ID: id, Rules: rules, Severity: severity, Summary: summary, Fix: fix}
	}
	const fixTimer = "look whether the release timer runs, and what its last run said"
	const fixTrust = "make the next trust version in good time: starttls-list trust propose"
	const fixCopy = "look whether the mirror's timer runs, and what its last copy said"
	return []policy.Code{
		c(policy.Warning, FreshUnreachable, "the mirror cannot be read, so nothing is known of it", "look whether the mirror is up, and whether this machine reaches it"),
		c(policy.Error, FreshContent, "the mirror serves what a new client refuses", fixRepair),
		c(policy.Error, FreshFork, "two mirrors show two signed histories of one log", "publish the evidence file; let no client update until it is explained"),
		c(policy.Warning, FreshAging, "no new release came when one was due", fixTimer, "R9"),
		c(policy.Error, FreshStale, "the newest release is so old that clients call it stale", fixTimer, "R9"),
		c(policy.Error, FreshHalfLife, "the list has lived the larger part of its life without a renewal", fixTimer, "R9"),
		c(policy.Error, FreshExpired, "the list has expired: clients do not use it any more", fixTimer, "R9", "R10"),
		c(policy.Warning, FreshTrustSoon, "the newest trust version expires within weeks", fixTrust),
		c(policy.Error, FreshTrustLast, "the newest trust version expires within days", fixTrust),
		c(policy.Error, FreshTrustEnd, "the newest trust version has expired: clients apply no release made after that", fixTrust),
		c(policy.Error, FreshQuorum, "the witnesses have not vouched for the release for so long that clients call it stale", "run release, which asks them; see which witnesses fell silent"),
		c(policy.Warning, FreshCosignature, "a witness's cosignature is old, or not there", "ask its operator whether it still runs; the quorum may hang on it"),
		c(policy.Warning, FreshLags, "the mirror has an older release than another", fixCopy),
		c(policy.Error, FreshStuck, "the mirror has been behind the others for so long that clients of it hold stale lists", fixCopy+", or leave it out of configurations"),
		c(policy.Error, FreshClock, "this machine's clock is behind the time that witnesses and the release show, so ages come out too small", "set the clock"),
		c(policy.Notice, FreshEnded, "the list has ended: its operator told clients to drop everything", "leave it out of the monitoring"),
	}
}
