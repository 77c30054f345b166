package manual

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
)

// Command is the hidden command "manual DIR", which writes a program's pages into a folder for MANPATH; those of other
// sections come from more. Who installs the program without a package has its manual by it. The date of the pages is that
// of SOURCE_DATE_EPOCH (https://reproducible-builds.org/specs/source-date-epoch/), else there is none: today's would make
// each build differ. usage marks an error as the caller's.
func Command(usage func(*cobra.Command, error) error, related []string, more func(Book) []Page) *cobra.Command {
	return &cobra.Command{
		Use:    "manual DIR",
		Short:  "write the manual pages into a folder, such as /usr/local/share/man",
		Hidden: true,
		Args:   term.Arguments(1, 1, usage),
		RunE: func(c *cobra.Command, args []string) error {
			date, err := sourceDate(os.Getenv("SOURCE_DATE_EPOCH"))
			if err != nil {
				return usage(c, err)
			}
			book := Book{Root: c.Root(), Date: date, Related: related}
			pages := book.Pages()
			if more != nil {
				pages = append(pages, more(book)...)
			}
			return write(args[0], pages)
		},
	}
}

func sourceDate(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	seconds, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is no number of seconds: %w", err)
	}
	return time.Unix(seconds, 0), nil
}

func write(dir string, pages []Page) error {
	for _, p := range pages {
		path := filepath.Join(dir, p.File())
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, p.Text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
