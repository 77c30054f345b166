package policy

import (
	"crypto/ed25519"
	"encoding/hex"
)

// WeakKey reports whether an Ed25519 public key is a point of small order, for which anybody can make signatures that
// crypto/ed25519 takes for good: zeros, say, that somebody left as a placeholder. The sign bit does not matter.
func WeakKey(key ed25519.PublicKey) bool {
	if len(key) != ed25519.PublicKeySize {
		return false
	}
	y := [ed25519.PublicKeySize]byte(key)
	y[31] &= 0x7f
	switch hex.EncodeToString(y[:]) {
	case "0000000000000000000000000000000000000000000000000000000000000000", // order 4
		"0100000000000000000000000000000000000000000000000000000000000000", // order 1
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", // order 8
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", // order 8
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // p-1, order 2
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // p, another spelling of 0
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f": // p+1, another spelling of 1
		return true
	}
	return false
}
