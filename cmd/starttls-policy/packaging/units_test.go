package packaging

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// systemd understands the units with the drop-ins that the package adds, and a proxy of /etc/default reaches both services.
func TestUnits(t *testing.T) {
	dir := unpacked(t)
	program, folder := filepath.Join(dir, "usr/bin/starttls-policy"), filepath.Join(dir, "usr/lib/systemd/system")
	units, err := filepath.Glob(filepath.Join(folder, "starttls-policy*.*[a-z]"))
	if err != nil {
		t.Fatal(err)
	}
	args, services := []string{"verify", "--man=no"}, 0
	for _, path := range units {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			continue
		}
		args = append(args, path)
		data, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, []byte(strings.ReplaceAll(string(data), "=starttls-policy ", "="+program+" ")), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(path, ".service") {
			services++
			drop, err := os.ReadFile(filepath.Join(path+".d", "environment.conf"))
			if err != nil || !strings.Contains(string(drop), "\nEnvironmentFile=-/etc/default/starttls-policy\n") {
				t.Errorf("%s: %v\n%s", path, err, drop)
			}
		}
	}
	if services != 3 || len(args) != 8 {
		t.Errorf("%d services among %q", services, args)
	}
	quiet(t, "systemd-analyze", args...)
}
