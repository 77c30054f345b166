// Package soak runs a whole list for as long as somebody likes, with something going wrong all the time, and looks for what
// must never be:
//
//	publisher ──┬─ mirror a, a folder ──── HTTP ──┐
//	            ├─ mirror b, a folder ──── HTTP ──┼── a client that writes Postfix's table
//	            └─ mirror c, an S3 bucket ─ HTTP ─┘   a client behind a daemon that is asked all the time
//	three witnesses, of which two make the quorum
//
// Publisher, log, mirrors, clients and daemon are the real ones; the clock is not: every release is a quarter of an hour after
// the one before, so that a minute of soak is a day and more of the list. One fault at a time is with them, of a kind and with
// details that a number decides (faults.go). What is wrong is judged by what anybody can see: the objects of the mirrors, the
// files of the clients, the answers of the daemon (judge.go).
//
//	report, err := soak.Run(ctx, soak.Options{For: 10 * time.Minute, Dir: dir, Seed: 1, Program: self, Out: print})
//	ok := report.OK()
//
// Whoever is to be killed in the middle of its work is a process of its own: the same program, which calls RunPart.
package soak
