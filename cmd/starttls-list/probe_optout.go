package main

import (
	"fmt"

	"github.com/starttls-everywhere/policylist/pipeline/probe"
)

// maxOptOut caps the opt-out list: some hundred thousand entries.
const maxOptOut = 8 << 20

// readOptOut reads the list of those who asked not to be probed; "" is nobody. A file that cannot be read is an error: we
// would not respect who stands in it.
func readOptOut(path string) (probe.OptOut, error) {
	if path == "" {
		return probe.OptOut{}, nil
	}
	text, err := readFile(path, maxOptOut)
	if err != nil {
		return probe.OptOut{}, err
	}
	list, err := probe.ParseOptOut(text)
	if err != nil {
		return probe.OptOut{}, fmt.Errorf("%s: %w", path, err)
	}
	return list, nil
}
