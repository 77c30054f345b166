package main

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/starttls-everywhere/policylist/mirror/site/browsertest"
)

// serveSite shows a folder as site serve does, until the test ends, and returns its address.
func serveSite(t *testing.T, folder string) string {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	out, ended := make(lines, 4), make(chan int, 1)
	go func() { ended <- run(ctx, []string{"site", "serve", folder, "--listen", "127.0.0.1:0"}, nil, out, out) }()
	select {
	case line := <-out:
		t.Cleanup(func() {
			stop()
			<-ended
		})
		return strings.TrimSpace(line[strings.LastIndex(line, "http://"):])
	case code := <-ended:
		t.Fatalf("exit code %d", code)
	}
	return ""
}

// shell runs a line as a reader does who pasted it into a terminal, in a folder, and returns what was printed and the exit code.
func shell(t *testing.T, folder, line string) (string, int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Dir = folder
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return string(out), exit.ExitCode()
	case err != nil:
		t.Fatal(err)
	}
	return string(out), 0
}

// A reader looks a domain up on what site serve shows, saves its proof, copies the command beside it, by its button or with the
// mouse, and runs it. It says that the proof holds; of a proof that was tampered with, that it does not.
func TestProofInBrowser(t *testing.T) {
	b := browsertest.Start(t)
	op := newOperator(t)
	op.release(20)
	op.release(0)
	public := op.copyPublic()
	build := []string{"site", "build", "--mirror", public, "--trust", op.path("trust/1"), "--out", public}
	list(t, 0, build...)
	address := serveSite(t, public)
	list(t, 0, append(build, "--url", address)...)

	tab := b.Open(t, address)
	tab.Go("")
	tab.ClickTo("main a")
	tab.Type("#domain", "d7.example")
	tab.Press(browsertest.Enter)
	tab.Until(`document.querySelector("#answer a")`)
	tab.ClickTo("#answer a")

	folder := t.TempDir()
	name, proof := tab.Download("a[download]")
	put(t, filepath.Join(folder, name), proof)
	const command = "pre.command"
	tab.Click(command + " + button")
	tab.Until(`document.querySelector("pre.command + button").textContent === "Copied"`)
	copied := tab.Clipboard()
	browsertest.Eval[string](tab, `navigator.clipboard.writeText("").then(() => "empty")`)
	tab.Copy(command)
	if again := strings.TrimSpace(tab.Clipboard()); again != copied || !strings.HasPrefix(copied, "starttls-list site verify d7.example.tlog-proof --mirror "+address) {
		t.Fatalf("the button copies %q, the mouse %q", copied, again)
	}
	tab.Quiet()

	if out, code := shell(t, folder, copied); code != 0 || !strings.Contains(out, "d7.example: testing, mx.d7.example") {
		t.Errorf("%s: exit code %d, %s", copied, code, out)
	}
	for what, tampered := range map[string][]byte{
		"another index": bytes.Replace(proof, []byte("index "), []byte("index 1"), 1),
		"another hash":  flipHash(proof),
		"half of it":    proof[:len(proof)/2],
	} {
		put(t, filepath.Join(folder, name), tampered)
		if out, code := shell(t, folder, copied); bytes.Equal(tampered, proof) || code != exitFail {
			t.Errorf("%s: exit code %d, %s", what, code, out)
		}
	}
	// The fingerprint that the command names is believed, and nothing that the page's server says against it.
	put(t, filepath.Join(folder, name), proof)
	at := strings.LastIndex(copied, " ") + 1
	if out, code := shell(t, folder, copied[:at]+strings.Repeat("0", len(copied)-at)); code != exitFail {
		t.Errorf("exit code %d, %s", code, out)
	}
}

// flipHash changes one digit of the first hash of a proof's path.
func flipHash(proof []byte) []byte {
	out := bytes.Clone(proof)
	at := bytes.Index(out, []byte("\nindex "))
	at += 1 + bytes.IndexByte(out[at+1:], '\n') + 1
	if out[at] == 'A' {
		out[at] = 'B'
	} else {
		out[at] = 'A'
	}
	return out
}
