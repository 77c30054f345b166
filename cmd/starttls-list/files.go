package main

import (
	"fmt"
	"io"
	"os"
)

// maxSmallFile caps files that people name and that are small by nature: configurations, trust versions, root
// certificates, keyrings, signatures. The Mozilla roots are 200 KB.
const maxSmallFile = 4 << 20

// readFile reads a file of at most limit bytes; devices that never end are such files too.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s: more than %d bytes, too large", path, limit)
	}
	return data, nil
}
