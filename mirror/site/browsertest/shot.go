package browsertest

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/chromedp/chromedp"
)

// artifacts is the environment variable that names a folder for pictures of pages; without it none are taken.
const artifacts = "POLICYLIST_ARTIFACTS"

// Shot keeps a picture of the whole page, where somebody wants to have them.
func (p *Page) Shot(name string) {
	p.t.Helper()
	folder := os.Getenv(artifacts)
	if folder == "" {
		return
	}
	data := run(p, "take a picture", chromedp.FullScreenshot(100))
	name = strings.NewReplacer("/", "_", " ", "_").Replace(name)
	file := filepath.Join(folder, name[max(0, len(name)-100):]+".png") // a domain in it may be as long as a file's name
	if err := os.MkdirAll(folder, 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o644); err != nil {
		p.t.Fatal(err)
	}
}
