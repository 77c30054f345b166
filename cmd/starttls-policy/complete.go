package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/policy/mta"
)

// maxCompletions is how many domains a shell gets. Of more it gets none: some of them would have a longer beginning in
// common than all have, and the shell would complete to that.
const maxCompletions = 500

// complete gives flags and arguments what a shell can offer for them. Nothing is read beyond the configuration and the
// state folder: a key that is pressed must not ask a mirror.
func (a *app) complete(root *cobra.Command) {
	values := map[string]func() []string{
		"list":    a.listNames,
		"mta":     func() []string { return append([]string{"postfix", "none"}, formats()...) },
		"method":  func() []string { return []string{"auto", "delta", "snapshot"} },
		"code":    doctorCodes,
		"sources": func() []string { return []string{string(socketDANE), string(socketSTS), string(socketList)} },
		"dialect": func() []string { return []string{dialectAuto, "legacy", "sni", "floor", "tlsrpt"} },
		"type": func() []string {
			var out []string
			for _, t := range preferredTypes {
				out = append(out, string(t))
			}
			return out
		},
	}
	for _, c := range root.Commands() {
		for name, list := range values {
			if c.Flags().Lookup(name) != nil {
				// The only error is that of a flag that is not there.
				_ = c.RegisterFlagCompletionFunc(name, func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
					return list(), cobra.ShellCompDirectiveNoFileComp
				})
			}
		}
		switch c.Name() {
		case "query", "explain", "refresh":
			c.ValidArgsFunction = firstArgument(a.domainsFrom)
		case "export":
			c.ValidArgsFunction = firstArgument(func(string) []string { return append([]string{"postfix"}, formats()...) })
		case "verify", "doctor", "help", "completion":
		default:
			c.ValidArgsFunction = cobra.NoFileCompletions
		}
	}
}

// firstArgument completes the first argument; there is no second.
func firstArgument(list func(begin string) []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, begin string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return list(begin), cobra.ShellCompDirectiveNoFileComp
	}
}

func formats() []string {
	var out []string
	for _, f := range mta.Formats() {
		out = append(out, f.Name)
	}
	return out
}

func (a *app) listNames() []string {
	cfg, _, err := readConfig(a.configPath)
	if err != nil {
		return nil
	}
	var out []string
	for _, l := range cfg.Lists {
		out = append(out, string(l.Name))
	}
	return out
}

// domainsFrom are the listed domains that begin like this. What is wrong with a list is for the commands to say.
func (a *app) domainsFrom(begin string) []string {
	cfg, _, err := readConfig(a.configPath)
	if err != nil {
		return nil
	}
	lists, err := a.standings(cfg)
	if err != nil {
		return nil
	}
	begin = strings.ToLower(begin)
	var out []string
	for _, l := range lists {
		if l.Freshness == mirror.None {
			continue
		}
		for d := range l.List.All() {
			if !strings.HasPrefix(d.String(), begin) {
				continue
			}
			if out = append(out, d.String()); len(out) > maxCompletions {
				return nil
			}
		}
	}
	return out
}
