package mirror

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/transparency"
)

// pointersFile keeps, in a client's folder, what each mirror gave last as its pointer, with its entity tag: of four updates a
// day two or three find the pointer that they know, and need not fetch it. The bytes are verified each time as if they had
// just come. A mirror that says "unchanged" though it is not withholds news, as it could by serving the old file.
const pointersFile = "pointers.json"

const pointersHeader = "policylist/client-pointers/v1 "

// ErrUnchanged is returned by Conditional.GetUnless where the object still has the tag.
var ErrUnchanged = errors.New("the object is unchanged")

// Conditional is a Reader that can ask for an object unless it is the one that the caller has (RFC 9110 section 13.1.2).
type Conditional interface {
	Reader

	// GetUnless is Get with an entity tag, as the mirror gave it; "" for none. Where the object still has it the error
	// wraps ErrUnchanged. next is the tag of the bytes that are returned, "" where the mirror gives none.
	GetUnless(ctx context.Context, path string, limit int64, tag string) (data []byte, next string, err error)
}

// maxTag bounds an entity tag that is kept, in bytes. Stores' are below 100.
const maxTag = 256

// entityTag is RFC 9110 section 8.8.3 without bytes beyond ASCII. What else a mirror writes there is not sent back: "*" would ask
// whether there is any pointer at all, which is answered with 304 whatever stands in it.
var entityTag = regexp.MustCompile(`^(?:W/)?"[!#-~]*"$`)

// recalled is a mirror's pointer with its tag.
type recalled struct {
	Tag     string `json:"tag"`
	Pointer string `json:"pointer"`
}

// recall reads pointersFile. What is damaged or absent is asked for.
func recall(dir string) map[string]recalled {
	all := map[string]recalled{}
	data, err := durable.ReadFile(filepath.Join(dir, pointersFile))
	if err != nil {
		return all
	}
	head, body, _ := strings.Cut(string(data), "\n")
	sum := sha256.Sum256([]byte(body))
	if head != pointersHeader+hex.EncodeToString(sum[:]) || json.Unmarshal([]byte(body), &all) != nil {
		return map[string]recalled{}
	}
	return all
}

// remember keeps what a mirror gave, and forgets those that are no sources any more. Without it the next update fetches a
// few kilobytes, so an error is only logged.
func (c *Client) remember(name string, r recalled) {
	all := map[string]recalled{}
	before := recall(c.Dir)
	for _, s := range c.Sources {
		if kept, ok := before[s.Name]; ok {
			all[s.Name] = kept
		}
	}
	if delete(all, name); len(r.Tag) <= maxTag && entityTag.MatchString(r.Tag) {
		all[name] = r
	}
	if before[name] == all[name] && len(before) == len(all) {
		return
	}
	body, err := json.Marshal(all)
	if err == nil {
		err = durable.WriteFile(filepath.Join(c.Dir, pointersFile), fmt.Appendf(nil, "%s%x\n%s", pointersHeader, sha256.Sum256(body), body), 0o644)
	}
	if err != nil {
		c.Log.Warn("mirror's pointer not kept", "mirror", name, "err", err)
	}
}

// pointerOf reads a mirror's pointer, or takes the one from the last time where the mirror says that it is the same. A list
// whose release is older than it should be is asked for anew: a server that gives all versions of a file one tag must not
// hold a client up. keep is called once the pointer has turned out to be good.
func (c *Client) pointerOf(ctx context.Context, s Source, h *held) (data []byte, keep func(), err error) {
	keep = func() {}
	r, ok := s.Reader.(Conditional)
	if !ok {
		data, err = s.Reader.Get(ctx, PointerPath, transparency.MaxProofBytes)
		return data, keep, err
	}
	last := recall(c.Dir)[s.Name]
	if !c.young(h) {
		last = recalled{}
	}
	data, tag, err := r.GetUnless(ctx, PointerPath, transparency.MaxProofBytes, last.Tag)
	switch {
	case errors.Is(err, ErrUnchanged) && last.Tag != "":
		return []byte(last.Pointer), keep, nil
	case errors.Is(err, errCondition):
		data, tag, err = r.GetUnless(ctx, PointerPath, transparency.MaxProofBytes, "")
	}
	return data, func() { c.remember(s.Name, recalled{tag, string(data)}) }, err
}

// young reports whether the held release is no older than one mirror's word is believed for. One of the future is not: the
// clock, by which it would be young for ever, is wrong.
func (c *Client) young(h *held) bool {
	if h.release == nil {
		return false
	}
	age := c.now(h.state).Sub(h.release.Timestamp)
	return age > -maxFuture && age < askAllAfter
}
