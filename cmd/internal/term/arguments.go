package term

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// Arguments are those of a command that takes from low to high of them. cobra's own refusal counts them; this one names what
// is too much, or shows what the command takes. usage marks an error as the caller's mistake.
func Arguments(low, high int, usage func(*cobra.Command, error) error) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		form := strings.TrimSuffix(c.UseLine(), " [flags]")
		switch {
		case len(args) < low:
			return usage(c, fmt.Errorf("an argument is missing: it is %s", form))
		case len(args) > high && c.HasSubCommands():
			return usage(c, noCommand(c, args[high]))
		case len(args) > high:
			return usage(c, fmt.Errorf("%q is one argument too many: it is %s", args[high], form))
		}
		return nil
	}
}

// Group makes c a command that does nothing itself: it shows its help, and refuses what names none of its commands.
func Group(c *cobra.Command, usage func(*cobra.Command, error) error) *cobra.Command {
	c.Args = cobra.ArbitraryArgs // what names no command reaches c itself
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 0 {
			return usage(c, noCommand(c, args[0]))
		}
		return c.Help()
	}
	return c
}

// noCommand says that c has no command of that name, which is most likely misspelt.
func noCommand(c *cobra.Command, name string) error {
	return fmt.Errorf("there is no command%s %q", strings.TrimPrefix(c.CommandPath(), c.Root().Name()), name)
}
