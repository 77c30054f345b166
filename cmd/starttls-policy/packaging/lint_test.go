package packaging

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// unpacked is the package's files, without its scripts having run.
func unpacked(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "dpkg-deb", "-x", deb(t, "v1.2.3"), dir).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir
}

// quiet runs a judge that has to have nothing to say.
func quiet(t *testing.T, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tool.Path(t, name), args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANWIDTH=100")
	if out, err := cmd.CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("%s %q: %v\n%s", name, args, err, out)
	}
}

func TestLintian(t *testing.T) {
	quiet(t, "lintian", "--allow-root", "--fail-on", "error,warning", deb(t, "v1.2.3"))
}

// Both readers of manual pages find nothing amiss: mandoc, and groff by man.
func TestManualPages(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(unpacked(t), "usr/share/man/man[15]/*.gz"))
	if err != nil || len(pages) < 13 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, p := range pages {
		text := filepath.Join(t.TempDir(), strings.TrimSuffix(filepath.Base(p), ".gz"))
		out, err := exec.CommandContext(t.Context(), "gzip", "-dc", p).Output()
		if err == nil {
			err = os.WriteFile(text, out, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		quiet(t, "mandoc", "-T", "lint", "-W", "warning", text)
		warnings := exec.CommandContext(t.Context(), tool.Path(t, "man"), "--warnings=w", "-E", "UTF-8", "-l", "-Tutf8", "-Z", text)
		var said bytes.Buffer
		warnings.Stderr = &said
		if err := warnings.Run(); err != nil || said.Len() > 0 {
			t.Errorf("man %s: %v\n%s", text, err, said.String())
		}
		if !bytes.Contains(out, []byte(`"2026-01-01" "starttls\-policy v1.2.3"`)) {
			t.Errorf("%s has not the date and the version of the release", text)
		}
	}
}

// Each shell reads its script, and a bash that somebody types in is told commands, flags, lists and files.
func TestCompletions(t *testing.T) {
	dir := unpacked(t)
	bash := filepath.Join(dir, "usr/share/bash-completion/completions/starttls-policy")
	if out, err := exec.CommandContext(t.Context(), "bash", "-n", bash).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
	quiet(t, "zsh", "-n", filepath.Join(dir, "usr/share/zsh/vendor-completions/_starttls-policy"))
	quiet(t, "fish", "--no-config", "-n", filepath.Join(dir, "usr/share/fish/vendor_completions.d/starttls-policy.fish"))
	const library = "/usr/share/bash-completion/bash_completion"
	if _, err := os.Stat(library); err != nil {
		tool.Path(t, library) // says that it is missing; where it is there, it is read and no program
	}
	for typed, want := range map[string]string{
		"up": "update", "update --me": "--method", "update --method ": "auto delta snapshot", "export send": "sendmail-sts sendmail",
		"qu": "query", "nothing": "",
	} {
		script := `source "$1" && source "$2" && export PATH="$3:$PATH" && read -ra COMP_WORDS <<<"starttls-policy $4"
if [[ $4 == *' ' ]]; then COMP_WORDS+=(''); fi
COMP_LINE="starttls-policy $4" COMP_POINT=${#COMP_LINE} COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_TYPE=9
function=$(complete -p starttls-policy | sed 's/.*-F \([^ ]*\).*/\1/') && compopt() { :; }
"$function" starttls-policy "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\n' "${COMPREPLY[@]%% *}"`
		out, err := exec.CommandContext(t.Context(), "bash", "--norc", "-c", script, "bash", library, bash, filepath.Join(dir, "usr/bin"), typed).CombinedOutput()
		if got := strings.Join(strings.Fields(string(out)), " "); err != nil || got != want {
			t.Errorf("%q is completed to %q, want %q; %v", typed, got, want, err)
		}
	}
}
