package main

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"github.com/spf13/cobra"
)

// handOverAfter hands over what a command has written. What is wrong with the configuration the command has said itself.
func (a *app) handOverAfter(c *cobra.Command) {
	switch c.Name() {
	case "join", "update", "disable", "enable", "rollback", "feedback", "key":
	default:
		return
	}
	cfg, _, err := readConfig(a.configPath)
	if err != nil {
		return
	}
	if err := handOver(cfg.State); err != nil {
		line(a.stderr, "starttls-policy: warning: not all of %s could be given to its owner: %v", cfg.State, err)
	}
}

// handOver gives what root has just made in the state folder to the folder's owner: the user of the systemd units, who
// could otherwise never update a list that root joined. systemd does that only for a folder that is wholly root's.
//
// The owner may be hostile and root must not be led outside: names are resolved below the folder alone (os.Root), links
// are not followed, and a file with a second name, which might be one elsewhere, is left alone.
func handOver(state string) error {
	info, err := os.Lstat(state)
	if os.Geteuid() != 0 || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid == 0 || !info.IsDir() {
		return nil
	}
	root, err := os.OpenRoot(state)
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := root.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the daemon is at work as well
		}
		if err != nil {
			return err
		}
		s, ok := info.Sys().(*syscall.Stat_t)
		if !ok || s.Uid != 0 || info.Mode().IsRegular() && s.Nlink > 1 {
			return nil
		}
		return root.Lchown(path, int(owner.Uid), int(owner.Gid))
	})
}
