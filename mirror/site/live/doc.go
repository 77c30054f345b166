// Package live is the one part of a list's site that static hosting cannot be: a page on which a visitor has a domain probed,
// and gets what there is to say and to publish. Who looks is given from outside, as a Prober.
//
//	server, err := live.New(shell, prober, live.Options{Repository: "https://github.com/operator/list"})
//	http.Serve(l, server.Handler(site.Handler(root))) // GET and POST /site/probe/
//	server.Stop(ctx)
//
// A visitor makes this machine connect to others, so everything is bounded. The form has a token that is good once, for a
// quarter of an hour, for the network that asked for it; a request must come from the form's own page. Each network may ask a
// few times an hour and have two looks under way, a domain is looked at once in Options.Cooldown, whoever asks, a few looks go
// on at a time and a few wait. What a look may contact, and how often, is the Prober's affair, as in any scan.
//
// Nothing is written to disk. Who asked for what is in no log; a result is found by an unguessable name and goes with the time.
// Pages work without JavaScript.
package live
