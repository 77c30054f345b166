// Package browsertest shows pages to a real Chromium, in tests. Only tests import it.
//
//	b := browsertest.Start(t)
//	p := b.Open(t, address)
//	p.Go("site/index.html")
//	p.Type("#domain", "example.org")
//	p.Press(browsertest.Enter)
//	p.Until(`document.querySelector("#answer a")`)
//	p.Quiet() // nothing on the console, no request to anybody else
//
// A page records what a browser complains of, and what it asks of whom, from before its first byte. Steps wait for what
// they are about, not for time; each has a deadline that only a hanging browser meets.
package browsertest

import (
	"context"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/starttls-everywhere/policylist/mirror/storetest/tool"
)

// patience bounds each step: a hundred times what one takes on a machine with nothing else to do.
const patience = time.Minute

// Browser is one Chromium without a window.
type Browser struct{ ctx context.Context }

// Start starts a Chromium with a new profile, which ends with the test. What happens where there is none is as for
// tool.Path. It resolves no name, so no page can reach another machine, but what pages ask for is seen nevertheless.
func Start(t testing.TB) *Browser {
	t.Helper()
	// The driver makes the profile below it, and removes that when the last of the browser's processes is gone: a folder
	// of our own would be removed while they still write.
	t.Setenv("TMPDIR", t.TempDir())
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(tool.Path(t, "chromium")),
		chromedp.DisableGPU,
		chromedp.Flag("no-sandbox", true), // root has none, nor do containers that forbid user namespaces; pages are our own
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
		chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("hide-scrollbars", true), // as on a phone: the width is the page's
		chromedp.Flag("lang", "en-US"),
	)
	allocator, release := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(release)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	// The first step decides how long the browser lives, so the deadline cannot be its context's.
	late := time.AfterFunc(patience, cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("Chromium does not start: %v", err)
	}
	late.Stop()
	return &Browser{ctx}
}
