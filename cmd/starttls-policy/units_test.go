package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// mostExposure is ten times what "systemd-analyze security" may say of a service, of 100: it says 13 for all. What is
// left is that they talk to the network and to systemd, see the machine's files, and write some that others read.
const mostExposure = "15"

// unitFiles are the units by name, and the drop-ins that the page for administrators shows.
func unitFiles(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	paths, err := filepath.Glob("systemd/starttls-policy*")
	if err != nil || len(paths) != 6 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(path)] = string(data)
	}
	page, err := os.ReadFile("../../mirror/USAGE.md")
	if err != nil {
		t.Fatal(err)
	}
	shown := regexp.MustCompile("(?s)```ini\n# /etc/systemd/system/(\\S+)\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(shown) < 3 {
		t.Errorf("the page shows %d drop-ins", len(shown))
	}
	for _, s := range shown {
		if unit, _, ok := strings.Cut(s[1], ".d/"); !ok || out[unit] == "" {
			t.Errorf("the page shows %s, which is for none of our units", s[1])
		}
		out[s[1]] = s[2]
	}
	return out
}

// writeUnits writes units whose program is there.
func writeUnits(t *testing.T, files map[string]string) (dir string, units []string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		text = strings.ReplaceAll(text, "=starttls-policy ", "=/bin/true ")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(name, "/") {
			units = append(units, path)
		}
	}
	return dir, units
}

// verifyUnits returns all that systemd has to say.
func verifyUnits(t *testing.T, files map[string]string) string {
	t.Helper()
	_, units := writeUnits(t, files)
	tool.Path(t, "kill") // ExecReload= runs it
	out, err := exec.Command(tool.Path(t, "systemd-analyze"), append([]string{"verify", "--man=no"}, units...)...).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%v\n%s", err, out)
	}
	return string(out)
}

// systemd has nothing to say about the units and drop-ins, and has where they are spoilt.
func TestUnitsVerify(t *testing.T) {
	files := unitFiles(t)
	if said := verifyUnits(t, files); said != "" {
		t.Errorf("systemd-analyze verify says:\n%s", said)
	}
	for name, spoil := range map[string][3]string{
		"a key that there is none of":  {"starttls-policy.service", "WatchdogSec=60", "WatchdogSecs=60"},
		"a call group of no name":      {"starttls-policy-update.service", "@system-service", "@system-services"},
		"a socket without a service":   {"starttls-policy.socket", "[Socket]", "[Socket]\nService=nobody.service"},
		"a calendar that never is":     {"starttls-policy-update.timer", "00/6:00:00", "00/6:61:00"},
		"another that never is":        {"starttls-policy-feedback.timer", "=hourly", "=hourly-ish"},
		"a drop-in with a wrong value": {"starttls-policy.socket.d/unix.conf", "0660", "0999"},
	} {
		spoilt := maps.Clone(files)
		spoilt[spoil[0]] = strings.Replace(files[spoil[0]], spoil[1], spoil[2], 1)
		if spoilt[spoil[0]] == files[spoil[0]] {
			t.Errorf("%s: nothing to spoil", name)
		}
		if verifyUnits(t, spoilt) == "" {
			t.Errorf("%s passes", name)
		}
	}
}

// The sandbox is as tight as the page says, and looser without its larger parts.
func TestUnitsSecurity(t *testing.T) {
	files := unitFiles(t)
	security := func(service, text string) error {
		dir, _ := writeUnits(t, map[string]string{service: text})
		out, err := exec.Command(tool.Path(t, "systemd-analyze"), "security", "--offline=true", "--threshold="+mostExposure, filepath.Join(dir, service)).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	}
	for _, service := range []string{"starttls-policy.service", "starttls-policy-update.service", "starttls-policy-feedback.service"} {
		if err := security(service, files[service]); err != nil {
			t.Errorf("%s: %v", service, err)
		}
		for _, key := range []string{"User", "CapabilityBoundingSet", "SystemCallFilter", "RestrictNamespaces"} {
			loose := regexp.MustCompile(`(?m)^`+key+`=.*\n`).ReplaceAllString(files[service], "")
			if security(service, loose) == nil {
				t.Errorf("%s without %s= is as tight", service, key)
			}
		}
	}
}

// settings are the values of each key, in order.
func settings(text string) map[string][]string {
	out := map[string][]string{}
	for _, s := range regexp.MustCompile(`(?m)^(\w+)=(.*)$`).FindAllStringSubmatch(text, -1) {
		out[s[1]] = append(out[s[1]], s[2])
	}
	return out
}

// What systemd cannot know: that the socket is never given up, that nobody waits for or stops anybody else, that both
// services have one sandbox, and that they find what the program's defaults say.
func TestUnitsHoldTogether(t *testing.T) {
	files := unitFiles(t)
	socket, service := settings(files["starttls-policy.socket"]), settings(files["starttls-policy.service"])
	update := settings(files["starttls-policy-update.service"])
	for _, want := range []struct {
		unit       map[string][]string
		key, value string
	}{
		{socket, "TriggerLimitIntervalSec", "0"}, {socket, "StartLimitIntervalSec", "0"}, {service, "StartLimitIntervalSec", "0"},
		{service, "Restart", "always"}, {service, "Type", "notify"}, {service, "NotifyAccess", "main"},
		{service, "Wants", "starttls-policy.socket"}, {service, "After", "starttls-policy.socket"}, {service, "Also", "starttls-policy.socket"},
		{service, "ExecReload", "kill -HUP $MAINPID"}, {service, "ExecStart", "starttls-policy serve"}, {update, "ExecStart", "starttls-policy update"},
		{settings(files["starttls-policy-feedback.service"]), "ExecStart", "starttls-policy feedback"},
		{service, "StateDirectory", strings.TrimPrefix(defaultState, "/var/lib/")}, {service, "StateDirectoryMode", "0755"}, {service, "UMask", "0022"},
		{service, "ProtectSystem", "strict"}, {service, "ProtectHome", "yes"}, {service, "NoNewPrivileges", "yes"}, {service, "CapabilityBoundingSet", ""},
		{settings(files["starttls-policy-update.timer"]), "Persistent", "true"},
	} {
		if got := want.unit[want.key]; !slices.Equal(got, []string{want.value}) {
			t.Errorf("%s=%q, want %q", want.key, got, want.value)
		}
	}
	for name, text := range files {
		for _, key := range []string{"Requires", "Requisite", "BindsTo", "PartOf", "RuntimeDirectory", "DynamicUser", "Accept", "RemoveOnStop"} {
			if values := settings(text)[key]; values != nil {
				t.Errorf("%s has %s=%q", name, key, values)
			}
		}
	}
	sandbox := regexp.MustCompile(`(?s)\n# Its own user.*SystemCallErrorNumber=EPERM\n`)
	for _, name := range []string{"starttls-policy-update.service", "starttls-policy-feedback.service"} {
		if a, b := sandbox.FindString(files["starttls-policy.service"]), sandbox.FindString(files[name]); a == "" || a != b {
			t.Errorf("%s has a sandbox of its own", name)
		}
	}
	// What is not to be tried again for is what a person has to see; 40 and 30 may pass.
	if got := update["RestartPreventExitStatus"]; !slices.Equal(got, []string{fmt.Sprint(exitFailed, exitUsage, exitStale, exitSecurity)}) {
		t.Errorf("RestartPreventExitStatus=%q", got)
	}
	page, err := os.ReadFile("../../mirror/USAGE.md")
	if err != nil {
		t.Fatal(err)
	}
	listen := socket["ListenStream"]
	if len(listen) != 1 || !strings.Contains(string(page), "socketmap:inet:"+listen[0]+":floor") || !strings.Contains(serveText, `"`+listen[0]+`"`) {
		t.Errorf("the socket is %q, not that of the page and of the configuration", listen)
	}
	sysusers, err := os.ReadFile("systemd/sysusers.conf")
	if err != nil || !strings.Contains(string(sysusers), "\nu "+service["User"][0]+" - ") || !strings.Contains(string(sysusers), " "+defaultState+"\n") {
		t.Errorf("sysusers.conf does not make the user of the units: %v", err)
	}
}
