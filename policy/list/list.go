// Package list holds the example list of this repository: .example domains that the lab serves. A list operator's own
// list lives in a repository of its own.
package list

import "embed"

// Files is the source directory: list.json and its fragments.
//
//go:embed list.json domains
var Files embed.FS
