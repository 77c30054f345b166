package site

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/transparency"
)

const (
	cacheName   = "log.cache"
	cacheHeader = "policylist/site-cache/v1 " // and the SHA-256 of what follows that line
)

// cacheHead is the cache's second line; the entries follow it, as in a bundle of a log (C2SP tlog-tiles).
type cacheHead struct {
	Origin string           `json:"origin"`
	Trust  string           `json:"trust"` // digest of the version where belief began: releases were judged by it
	Size   int              `json:"size"`  // entries
	Valid  []int64          `json:"valid"` // indexes of valid releases
	Alarms []Alarm          `json:"alarms"`
	More   int              `json:"more"`
	Notes  map[int64]string `json:"notes"`
}

func trustDigest(chain *transparency.TrustChain) string {
	digest := chain.Versions()[0].Digest()
	return hex.EncodeToString(digest[:])
}

// save keeps the record for the next time. Entries are kept rather than what they mean: their root can be compared.
func (r *record) save(folder string, chain *transparency.TrustChain) error {
	if folder == "" {
		return nil
	}
	head, err := json.Marshal(cacheHead{r.origin, trustDigest(chain), len(r.entries), r.valid, r.alarms, r.more, r.notes})
	if err != nil {
		return err
	}
	size := len(head) + 1
	for _, e := range r.entries {
		size += 2 + len(e)
	}
	body := append(slices.Grow(head, size-len(head)), '\n')
	for _, e := range r.entries {
		if body, err = transparency.AppendEntry(body, e); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	header := fmt.Appendf(nil, "%s%x\n", cacheHeader, sha256.Sum256(body))
	if string(header) == r.cached {
		return nil
	}
	return durable.WriteFile(filepath.Join(folder, cacheName), append(header, body...), 0o644)
}

// openCache returns what the folder's cache holds, nil when it has none that can be used: then the log is read again.
func openCache(folder string, chain *transparency.TrustChain) *replayed {
	if folder == "" {
		return nil
	}
	data, err := durable.ReadFile(filepath.Join(folder, cacheName))
	if err != nil {
		return nil
	}
	r, err := parseCache(data, trustDigest(chain))
	if err != nil {
		return nil
	}
	log, err := r.fold()
	if err != nil || log.settle() != nil {
		return nil
	}
	return log
}

var errCache = errors.New("not a cache of this list")

func parseCache(data []byte, trust string) (*record, error) {
	first, body, _ := strings.Cut(string(data), "\n")
	sum, ok := strings.CutPrefix(first, cacheHeader)
	if want := sha256.Sum256([]byte(body)); !ok || sum != hex.EncodeToString(want[:]) {
		return nil, fmt.Errorf("%w: the checksum does not fit", errCache)
	}
	line, packed, _ := strings.Cut(body, "\n")
	var head cacheHead
	if err := json.Unmarshal([]byte(line), &head); err != nil {
		return nil, fmt.Errorf("%w: %w", errCache, err)
	}
	if head.Trust != trust || head.Size < 1 || head.Size > len(packed) || len(head.Valid) == 0 || !slices.IsSorted(head.Valid) ||
		head.Valid[len(head.Valid)-1] != int64(head.Size)-1 {
		return nil, errCache
	}
	entries, err := transparency.ParseBundle([]byte(packed), head.Size)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errCache, err)
	}
	r := &record{cached: first + "\n", origin: head.Origin, valid: head.Valid, alarms: head.Alarms, more: head.More, notes: head.Notes}
	for _, e := range entries {
		if _, err := r.add(e); err != nil {
			return nil, err
		}
	}
	return r, nil
}
