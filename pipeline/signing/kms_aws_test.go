package signing

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/starttls-everywhere/policylist/pipeline/signing/keytest"
)

// edwards answers GetPublicKey, DescribeKey and Sign of AWS KMS for one Ed25519 key, in the protocol's JSON and by the rules
// of its reference: local-kms has no such keys. It is ours, so it shows that the requests are as documented, not what AWS
// does with them.
func edwards(t *testing.T) ed25519.PublicKey {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			KeyId, MessageType, SigningAlgorithm string
			Message                              []byte
		}
		err := json.NewDecoder(r.Body).Decode(&in)
		out := map[string]any{"KeyId": in.KeyId}
		_, action, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "TrentService.")
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		switch {
		case err != nil || in.KeyId != "alias/log":
			action = "unknown"
		case action == "GetPublicKey":
			out["PublicKey"], out["KeySpec"] = spki, "ECC_NIST_EDWARDS25519"
		case action == "DescribeKey":
			out = map[string]any{"KeyMetadata": map[string]any{"KeyId": "1", "SigningAlgorithms": []string{"ED25519_PH_SHA_512", "ED25519_SHA_512"}}}
		case action == "Sign" && in.SigningAlgorithm == "ED25519_SHA_512" && in.MessageType == "RAW":
			out["Signature"] = ed25519.Sign(private, in.Message)
		default:
			action = "unknown"
		}
		if action == "unknown" {
			w.WriteHeader(http.StatusBadRequest)
			out = map[string]any{"__type": "ValidationException", "message": "no"}
		}
		json.NewEncoder(w).Encode(out)
	}))
	t.Cleanup(server.Close)
	keytest.UseAWS(t, server.URL)
	return public
}

// An Ed25519 key in AWS signs checkpoints; what is longer than AWS takes is refused before it is asked.
func TestEd25519KeyInAWSKMS(t *testing.T) {
	public := edwards(t)
	key, err := OpenRemote(t.Context(), "awskms:///alias/log")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := NoteSigner(t.Context(), key, "log.example/1")
	if err != nil {
		t.Fatal(err)
	}
	signed, err := note.Sign(&note.Note{Text: "log.example/1\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"}, signer)
	if err != nil {
		t.Fatal(err)
	}
	vkey, err := note.NewEd25519VerifierKey("log.example/1", public)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(signed, note.VerifierList(verifier)); err != nil {
		t.Error(err)
	}
	if _, err := key.Sign(t.Context(), make([]byte, maxAWSMessage+1)); err == nil || !strings.Contains(err.Error(), "ECDSA P-256 key for releases") {
		t.Errorf("a long message: %v", err)
	}
}
