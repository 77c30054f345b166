package policy_test

import (
	"crypto/ed25519"
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
)

// TestWeakKeys: for each of these a signature of some message is made here without any private key, so they are what they
// are refused for; a real key is not.
func TestWeakKeys(t *testing.T) {
	for _, text := range []string{
		"0000000000000000000000000000000000000000000000000000000000000000", "0100000000000000000000000000000000000000000000000000000000000000",
		"0000000000000000000000000000000000000000000000000000000000000080", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
		"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	} {
		key, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		// R is the neutral point, S is 0: good whenever the hash times the key is neutral, one time in eight or more often.
		signature, forged := make([]byte, ed25519.SignatureSize), false
		signature[0] = 1
		for n := uint64(0); n < 1000 && !forged; n++ {
			forged = ed25519.Verify(key, binary.BigEndian.AppendUint64(nil, n), signature)
		}
		if !forged || !policy.WeakKey(key) {
			t.Errorf("%s: forged %v, weak %v", text, forged, policy.WeakKey(key))
		}
	}
	key, _, err := ed25519.GenerateKey(nil)
	if err != nil || policy.WeakKey(key) || policy.WeakKey(nil) {
		t.Errorf("%x: %v", key, err)
	}
}

// TestVantageWithAWeakKey: zeros that somebody left as a placeholder would let everybody speak for the vantage.
func TestVantageWithAWeakKey(t *testing.T) {
	for key, want := range map[string]int{"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=": 1, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAI=": 0} {
		text := `{"author": "A list", "origin": "list.example/a", "vantages": [{"name": "north", "key": "` + key + `"}]}`
		if _, found := policy.ParseSettings(policy.File{Path: policy.SettingsName, Data: []byte(text)}); len(found) != want {
			t.Errorf("%s: %d findings, want %d", key, len(found), want)
		}
	}
}
