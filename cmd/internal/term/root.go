package term

import "github.com/spf13/cobra"

// Root is a program without its commands. Nothing is printed about errors: that is for Report. usage marks an error as the
// caller's mistake, as which a command that does not exist and a flag that is wrong count.
func Root(name, version, short, long string, usage func(*cobra.Command, error) error) *cobra.Command {
	root := &cobra.Command{
		Use:           name,
		Short:         short,
		Long:          long,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetHelpCommand(helpCommand(usage))
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return usage(c, err) })
	return Group(root, usage)
}
