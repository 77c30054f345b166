package site

import (
	"crypto/sha256"
	"fmt"
)

// withChecksum is a cache file of that content, as somebody would write who wants it to be believed.
func withChecksum(body []byte) []byte {
	return append(fmt.Appendf(nil, "%s%x\n", cacheHeader, sha256.Sum256(body)), body...)
}
