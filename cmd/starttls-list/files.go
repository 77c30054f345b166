package main

import "github.com/starttls-everywhere/policylist/mirror/durable"

// maxSmallFile caps files that people name and that are small by nature: configurations, trust versions, root
// certificates, keyrings, signatures. The Mozilla roots are 200 KB.
const maxSmallFile = 4 << 20

// readFile reads a file of at most limit bytes; devices that never end are such files too.
func readFile(path string, limit int64) ([]byte, error) { return durable.ReadNamed(path, limit) }
