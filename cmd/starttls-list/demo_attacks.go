package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror"
	"github.com/starttls-everywhere/policylist/pipeline"
	"github.com/starttls-everywhere/policylist/pipeline/signing"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/transparency"
	"github.com/starttls-everywhere/policylist/transparency/tilelog"
)

// attackList: the list is named by its digest, and the digest stands in the signed leaf.
func (d *demo) attackList() error {
	d.web.set(func(path string, honest []byte) []byte {
		if !strings.HasPrefix(path, "list/") {
			return nil
		}
		list, err := mirror.Unzstd(honest, mirror.MaxListBytes)
		if err != nil {
			return nil
		}
		z, err := zstd.NewWriter(nil)
		if err != nil {
			return nil
		}
		return z.EncodeAll(bytes.Replace(list, []byte("mx.good"), []byte("mx.evil"), 1), nil)
	})
	return d.refused("tmp/third-client", mirror.Snapshot)
}

// attackRollback: the client remembers what it has seen.
func (d *demo) attackRollback() error {
	old, err := os.ReadFile(d.path(pipeline.PublicDir + "/" + mirror.ReleasePath(1)))
	if err != nil {
		return err
	}
	d.web.set(func(path string, _ []byte) []byte {
		if path == mirror.PointerPath {
			return old
		}
		return nil
	})
	return d.refused(demoClientDir, mirror.Auto)
}

// attackLogThief: the log's key alone can append what it likes, but no leaf counts that the release keys did not
// sign.
func (d *demo) attackLogThief() error {
	forged, err := d.forge()
	if err != nil {
		return err
	}
	d.web.set(func(path string, _ []byte) []byte { return forged[path] })
	return d.refused(demoClientDir, mirror.Auto)
}

// forge makes a third release with the true log key and a release key of the thief's own, on a copy of the log.
func (d *demo) forge() (map[string][]byte, error) {
	folder := d.path("tmp/thief")
	if err := os.CopyFS(folder, os.DirFS(d.path(pipeline.StateDir+"/log"))); err != nil {
		return nil, err
	}
	log, err := tilelog.Open(folder)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	start := log.Tree().N
	last, err := log.Leaf(start - 1)
	if err != nil {
		return nil, err
	}
	change, leaf, err := d.forgeLeaves(last, start)
	if err != nil {
		return nil, err
	}
	tree, err := log.Append(d.ctx, start, [][]byte{change, leaf})
	if err != nil {
		return nil, err
	}
	note, err := transparency.SignCheckpoint(transparency.Checkpoint{Origin: d.trust.Origin, Tree: tree}, d.keys.Log)
	if err != nil {
		return nil, err
	}
	path, err := tlog.ProveRecord(tree.N, tree.N-1, log)
	if err != nil {
		return nil, err
	}
	forged := map[string][]byte{
		mirror.CheckpointPath: note,
		mirror.PointerPath:    transparency.Proof{Extra: leaf, Index: tree.N - 1, Path: path, Checkpoint: note}.Format(),
	}
	for _, name := range mirror.TilePaths(start, tree.N) {
		if forged[name], err = log.ReadFile(name); err != nil {
			return nil, err
		}
	}
	return forged, nil
}

func (d *demo) forgeLeaves(last []byte, start int64) (change, leaf []byte, err error) {
	parsed, err := mirror.ParseLeaf(last)
	if err != nil {
		return nil, nil, err
	}
	domain, err := policy.ParseDomain("good.example")
	if err != nil {
		return nil, nil, err
	}
	mx, err := policy.ParseMXPattern("mx.thief.example")
	if err != nil {
		return nil, nil, err
	}
	evil, err := policy.NewPolicy(policy.Enforce, []policy.MXPattern{mx})
	if err != nil {
		return nil, nil, err
	}
	r := *parsed.Release
	previous := sha256.Sum256(last)
	r.Release, r.Previous, r.From, r.To, r.Signatures = r.Release+1, &previous, start, start+1, nil
	r.Timestamp = r.Timestamp.Add(time.Second)
	change = mirror.ChangeLeaf{Domain: domain, Policy: &evil, Reason: "mxs.replaced", Release: r.Release}.Append(nil)
	private, _, err := signing.GeneratePlain(signing.ECDSAP256)
	if err != nil {
		return nil, nil, err
	}
	keyFile := d.path("tmp/thief.key")
	if err := os.WriteFile(keyFile, private, 0o600); err != nil {
		return nil, nil, err
	}
	key, _, err := signing.Load(keyFile, signing.Password{})
	if err != nil {
		return nil, nil, err
	}
	msg, err := r.Message()
	if err != nil {
		return nil, nil, err
	}
	sig, err := key.Sign(d.ctx, msg)
	if err != nil {
		return nil, nil, err
	}
	r.Signatures = []transparency.KeySignature{{Key: key.KeyID(), Signature: sig}}
	leaf, err = r.Bytes()
	return change, leaf, err
}

// refused updates a client while the mirror attacks: it must refuse, and whatever it held must stay in force. Then
// the mirror is honest again and the same client goes on.
func (d *demo) refused(folder string, method mirror.Method) error {
	c, err := d.client(folder, method)
	if err != nil {
		return err
	}
	before, _ := os.ReadFile(filepath.Join(c.Dir, mirror.ListPath))
	got, err := c.Update(d.ctx)
	if err == nil {
		return fmt.Errorf("%w: the client took what the attacker served", errDemo)
	}
	for _, p := range got.Problems {
		d.say("    refused: %s\n", term.Escape(p))
	}
	after, _ := os.ReadFile(filepath.Join(c.Dir, mirror.ListPath))
	if !bytes.Equal(before, after) {
		return fmt.Errorf("%w: the attack changed the held list", errDemo)
	}
	held := "the client still has no list"
	if got.Release != nil {
		held = fmt.Sprintf("release %d stays in force, %s", got.Release.Release, got.Freshness)
	}
	d.web.set(nil)
	if _, err := c.Update(d.ctx); err != nil {
		return fmt.Errorf("%w: the client does not recover: %w", errDemo, err)
	}
	d.say("    %s; with an honest mirror the same client goes on\n", held)
	return nil
}
