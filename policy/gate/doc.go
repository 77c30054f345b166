// Package gate decides which changes of a list the next release makes. It is a pure function of what it is given: no
// clock, no network, no log.
//
//	out := gate.Decide(gate.Input{
//		Domain: domain, Managed: policy.ManagedByMTASTS,
//		Published: testing, Wanted: enforce, // what the list says, and what its source says
//		Looks: looks,                        // what the vantages saw of the domain, scan by scan
//		Log:   logged,                       // what the log says of it
//		Now:   now,
//	}, gate.Settings{Vantages: 3, Quorum: 2})
//	out.Step  // {enforce, "promote.evidence"}: the next release makes it
//	out.Waits // or what is held: why, until when, and what it needs
//
// A change needs a signal, the owner's word for it (an MTA-STS policy, a proof of control in the DNS) or that of two
// maintainers; time, counted from the first look that shows the signal; and often that mail arrives. README.md beside
// this file has the whole table. Three things hold everywhere:
//
//   - A signal counts when every vantage that looked saw it. One that saw another thing breaks it; one that could see
//     nothing neither makes nor breaks it.
//   - What weakens an entry without its owner's word rests on two vantages at least, and on facts, never on
//     inconclusive looks.
//   - Mode and mxs never change in one step.
//
// The gate also begins changes that no commit asks for: an owner who leaves by a proof or by MTA-STS "none", a
// demotion when mail cannot arrive, its restoration, and the removal of what is dead.
package gate
