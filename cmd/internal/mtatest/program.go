package mtatest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The program under test, on every machine: as a release is built, and the same with a clock that can be moved.
const (
	Program = "/usr/bin/starttls-policy"
	// Shifted is for what takes weeks, as a list takes to expire: its clock is ahead by the duration in ClockVar.
	Shifted  = "/usr/bin/starttls-policy-shifted"
	ClockVar = "STARTTLS_POLICY_CLOCK"
)

const programPackage = "github.com/starttls-everywhere/policylist/cmd/starttls-policy"

// build puts both programs into dir.
func build(dir string) error {
	overlay, err := shiftClock(dir)
	if err != nil {
		return err
	}
	for path, more := range map[string]string{Program: "-overlay=", Shifted: "-overlay=" + overlay} {
		cmd := exec.Command("go", "build", "-buildvcs=false", "-trimpath", more, "-o", filepath.Join(dir, filepath.Base(path)), programPackage)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("go build: %w\n%s", err, out)
		}
	}
	return nil
}

// shiftClock writes an overlay of the program's main function in which the clock is the shifted one. The program itself
// has no such switch: whoever could move the clock would bring an old list back.
func shiftClock(dir string) (overlay string, err error) {
	out, err := exec.Command("go", "list", "-buildvcs=false", "-f", "{{.Dir}}", programPackage).Output()
	if err != nil {
		return "", fmt.Errorf("go list: %w", err)
	}
	source := filepath.Join(strings.TrimSpace(string(out)), "main.go")
	text, err := os.ReadFile(source)
	if err != nil {
		return "", err
	}
	const clock = "world{os.Stdout, os.Stderr, time.Now}"
	if strings.Count(string(text), clock) != 1 {
		return "", fmt.Errorf("%s does not have %q once", source, clock)
	}
	shifted := strings.Replace(string(text), clock, `world{os.Stdout, os.Stderr, func() time.Time {
		ahead, err := time.ParseDuration(os.Getenv("`+ClockVar+`"))
		if err != nil {
			panic(err)
		}
		return time.Now().Add(ahead)
	}}`, 1)
	instead, overlay := filepath.Join(dir, "main.go.txt"), filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(instead, []byte(shifted), 0o644); err != nil {
		return "", err
	}
	plan, err := json.Marshal(map[string]map[string]string{"Replace": {source: instead}})
	if err != nil {
		return "", err
	}
	return overlay, os.WriteFile(overlay, plan, 0o644)
}
