package tlsrpt_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// senderKey is of the seed 00…00.
func senderKey() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) }

// What is signed is what the specification says, and a signature is for one host, contributor and body.
func TestSignContribution(t *testing.T) {
	key := senderKey()
	public := key.Public().(ed25519.PublicKey)
	sender, err1 := policy.ParseDomain("sender.example")
	other, err2 := policy.ParseDomain("other.example")
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	const digest = "a665a45920422f9d417e4867efdc4fb8a04a1f3fff1fa07e998e86f7f7a27ae3" // of "123"
	want := "policylist feedback v1\nlist.example:8443\nsender.example\n" + digest + "\n"
	if got := string(tlsrpt.SignedText("LIST.example:8443", sender, []byte("123"))); got != want {
		t.Errorf("signed is %q, want %q", got, want)
	}
	s := tlsrpt.SignContribution(key, "list.example", sender, []byte("123"))
	for _, same := range []string{"List.Example", "list.example:443"} { // the port that https has is written by some
		if !tlsrpt.VerifyContribution(public, s, same, sender, []byte("123")) {
			t.Errorf("its own signature does not verify for %s", same)
		}
	}
	for name, ok := range map[string]bool{
		"host":        tlsrpt.VerifyContribution(public, s, "list.example:444", sender, []byte("123")),
		"contributor": tlsrpt.VerifyContribution(public, s, "list.example", other, []byte("123")),
		"body":        tlsrpt.VerifyContribution(public, s, "list.example", sender, []byte("124")),
		"signature":   tlsrpt.VerifyContribution(public, strings.Repeat("A", 86)+"==", "list.example", sender, []byte("123")),
		"base64":      tlsrpt.VerifyContribution(public, s+"=", "list.example", sender, []byte("123")),
		"no key":      tlsrpt.VerifyContribution(nil, s, "list.example", sender, []byte("123")),
	} {
		if ok {
			t.Errorf("another %s verifies", name)
		}
	}
}

// Exactly one record of ours counts.
func TestParseKeyRecord(t *testing.T) {
	public := senderKey().Public().(ed25519.PublicKey)
	record := tlsrpt.KeyRecord(public)
	for _, txts := range [][]string{{record}, {"v=spf1 -all", record + ";"}, {strings.ReplaceAll(record, "; ", ";")}} {
		if key, err := tlsrpt.ParseKeyRecord(txts); err != nil || !bytes.Equal(key, public) {
			t.Errorf("%q: %x, %v", txts, key, err)
		}
	}
	p := base64.StdEncoding.EncodeToString(public)
	for want, all := range map[error][][]string{
		tlsrpt.ErrNoKey:    {nil, {"v=spf1 -all"}, {"v=STF2; k=ed25519; p=" + p}, {"k=ed25519; p=" + p}},
		tlsrpt.ErrManyKeys: {{record, record}, {record, "v=STF1; k=ed25519; p="}},
		tlsrpt.ErrBadKey: {
			{"v=STF1;"}, {"v=STF1; p=" + p}, {"v=STF1; k=rsa; p=" + p}, {"v=STF1; p=" + p + "; k=ed25519"}, {record + "; p=" + p},
			{"v=STF1; k=ed25519; p=" + p[:40]}, {"v=STF1; k=ed25519; p=" + p + "A"}, {"v=STF1; k=ed25519; p=" + p[:20] + "\n" + p[20:]}, {"v=STF1; k=ed25519; " + p},
		},
	} {
		for _, txts := range all {
			if _, err := tlsrpt.ParseKeyRecord(txts); !errors.Is(err, want) {
				t.Errorf("%q: %v, want %v", txts, err, want)
			}
		}
	}
}

// What is read as a key is written as a record that reads the same.
func FuzzParseKeyRecord(f *testing.F) {
	f.Add("v=STF1; k=ed25519; p=O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik=")
	f.Add("v=STF1;k=ed25519;p=;")
	f.Fuzz(func(t *testing.T, txt string) {
		key, err := tlsrpt.ParseKeyRecord([]string{txt})
		if err != nil {
			return
		}
		if again, err := tlsrpt.ParseKeyRecord([]string{tlsrpt.KeyRecord(key)}); err != nil || !bytes.Equal(again, key) {
			t.Errorf("%q: %x, then %x, %v", txt, key, again, err)
		}
	})
}

// Every notice is known, and nothing else is.
func TestNotices(t *testing.T) {
	for _, n := range tlsrpt.Notices() {
		if !n.Known() {
			t.Errorf("%q is not known", n)
		}
	}
	if tlsrpt.Notice("\x1b[2J").Known() {
		t.Error("words of a server are known")
	}
}
