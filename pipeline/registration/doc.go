// Package registration finds out when domains were registered, over RDAP: a domain that lapsed and was registered anew has
// another owner, whom the list must not take for the one who agreed (rule R48).
//
//	boot, err := registration.ParseBootstrap(data)      // which registry to ask, RFC 9224
//	a := registration.Asker{Bootstrap: boot, …}
//	file, report, err := a.Ask(ctx, domains, before)    // answers, RFC 9083, as lines of a file
//
// One asks for the name that was registered, once for all listed domains below it, and of each registry so many a run and
// so slowly that nobody is bothered. Whoever says nothing, or nothing that can be used, is counted, and what was known
// before stays: nothing here ever says that a domain is in order, or that it is gone.
package registration
