package signing

import (
	"bytes"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/starttls-everywhere/policylist/policy"
)

// environment is an os.LookupEnv of one variable.
func environment(password string) func(string) (string, bool) {
	return func(name string) (string, bool) { return password, name == PasswordEnv }
}

func codes(findings []policy.Finding) string {
	var out []string
	for _, f := range findings {
		out = append(out, f.Code)
	}
	return strings.Join(out, " ")
}

// One encrypted key, from its making through every way of giving the password; each opening costs a scrypt, so the
// cases share the key.
func TestEncryptedKey(t *testing.T) {
	private, public, err := Generate(ECDSAP256, []byte("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(private, []byte("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\n")) {
		t.Fatalf("not as cosign writes it:\n%s", private)
	}
	path := write(t, "release.key", private)

	t.Run("environment, older header", func(t *testing.T) {
		older := bytes.ReplaceAll(private, []byte("SIGSTORE"), []byte("COSIGN"))
		key, findings, err := Load(write(t, "old.key", older), Password{LookupEnv: environment("correct horse")})
		if err != nil || len(findings) > 0 {
			t.Fatal(findings, err)
		}
		if !bytes.Equal(key.PublicPEM(), public) {
			t.Error("another public key came out")
		}
	})
	t.Run("password file", func(t *testing.T) {
		_, _, err := Load(path, Password{LookupEnv: func(string) (string, bool) { return "", false },
			File: write(t, "password", []byte("correct horse\r\n"))})
		if err != nil {
			t.Fatal(err)
		}
	})
	t.Run("prompt, wrong password", func(t *testing.T) {
		var asked string
		_, _, err := Load(path, Password{Prompt: func(p string) ([]byte, error) { asked = p; return []byte("wrong"), nil }})
		if !errors.Is(err, ErrPassword) || !strings.Contains(err.Error(), path) || asked != path {
			t.Errorf("%v, asked for %q", err, asked)
		}
	})
	t.Run("nobody to ask", func(t *testing.T) {
		if _, _, err := Load(path, Password{}); !errors.Is(err, ErrNoPassword) || !strings.Contains(err.Error(), path) {
			t.Error(err)
		}
	})
	t.Run("prompt fails", func(t *testing.T) {
		gone := errors.New("terminal went away")
		if _, _, err := Load(path, Password{Prompt: func(string) ([]byte, error) { return nil, gone }}); !errors.Is(err, gone) {
			t.Error(err)
		}
	})
	t.Run("no password file", func(t *testing.T) {
		if _, _, err := Load(path, Password{File: path + ".none"}); !errors.Is(err, fs.ErrNotExist) {
			t.Error(err)
		}
	})
	t.Run("damage is told before a password is asked for", func(t *testing.T) {
		ask := Password{Prompt: func(string) ([]byte, error) { t.Error("asked"); return nil, nil }}
		block, _ := pem.Decode(private)
		cutInside := pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes[:len(block.Bytes)-20]})
		for name, data := range map[string][]byte{"cut.key": private[:200], "inside.key": cutInside} {
			if _, _, err := Load(write(t, name, data), ask); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), name) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// cosign's users without a password set COSIGN_PASSWORD to nothing: such a key is encrypted with the empty password.
func TestEmptyPassword(t *testing.T) {
	private, _, err := Generate(Ed25519, nil)
	if err != nil {
		t.Fatal(err)
	}
	key, findings, err := Load(write(t, "log.key", private), Password{LookupEnv: environment(""),
		Prompt: func(string) ([]byte, error) { t.Error("asked all the same"); return nil, nil }})
	if err != nil || len(findings) > 0 || key.Kind() != Ed25519 {
		t.Fatal(key, findings, err)
	}
}

func TestPlainKeyWarns(t *testing.T) {
	private, _, err := GeneratePlain(Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	path := write(t, "plain.key", private)
	key, findings, err := Load(path, Password{})
	if err != nil || codes(findings) != "key.plain" || findings[0].File != path {
		t.Fatal(key, findings, err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	signer, findings, err := Open(t.Context(), path, Password{})
	if err != nil || codes(findings) != "key.plain key.readable" {
		t.Fatal(findings, err)
	}
	if signer.KeyID() != key.KeyID() {
		t.Error("Open and Load found different keys")
	}
}

func TestRefusedKeyFiles(t *testing.T) {
	_, public, err := GeneratePlain(ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	private, _, err := GeneratePlain(ECDSAP256)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind, body string) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte(body)})
	}
	for name, c := range map[string]struct {
		data []byte
		want error
	}{
		"empty.key":   {nil, ErrNotPEM},
		"text.key":    {[]byte("log.example+1234+AAAA\n"), ErrNotPEM},
		"two.key":     {append(bytes.Clone(private), private...), ErrNotPEM},
		"public.key":  {public, ErrKeyType},
		"ec.key":      {encode("EC PRIVATE KEY", "x"), ErrKeyType},
		"rsa.key":     {encode("RSA PRIVATE KEY", "x"), ErrKeyType},
		"der.key":     {encode("PRIVATE KEY", "x"), ErrDamaged},
		"cut.key":     {private[:60], ErrDamaged},
		"json.key":    {encode("ENCRYPTED SIGSTORE PRIVATE KEY", "{}"), ErrDamaged},
		"openpgp.key": {encode("PGP PRIVATE KEY BLOCK", "x"), ErrKeyType},
	} {
		_, _, err := Load(write(t, name, c.data), Password{LookupEnv: environment("x")})
		if !errors.Is(err, c.want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, _, err := Load("nowhere/release.key", Password{}); !errors.Is(err, fs.ErrNotExist) ||
		!strings.Contains(err.Error(), "nowhere/release.key") {
		t.Errorf("missing file: %v", err)
	}
	if _, _, err := Load(write(t, "huge.key", make([]byte, maxKeyFile+1)), Password{}); err == nil ||
		!strings.Contains(err.Error(), "too large") {
		t.Errorf("huge file: %v", err)
	}
}
