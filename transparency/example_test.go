package transparency_test

import (
	"fmt"
	"os"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/starttls-everywhere/policylist/transparency"
)

// A release leaf is verified with nothing but a fingerprint: that of the first trust version, which a person compared.
func Example() {
	const vectors = "../schema/testdata/vectors/"
	verify := func(note, data []byte, fingerprint string) error {
		trust, err := transparency.ParseTrust(note)
		if err != nil {
			return err
		}
		if got := fmt.Sprintf("%x", trust.Digest()); got != fingerprint {
			return fmt.Errorf("the fingerprint is %s", got)
		}
		chain, err := transparency.NewTrustChain(trust)
		if err != nil {
			return err
		}
		proof, err := transparency.ParseProof(data)
		if err != nil {
			return err
		}
		cp, err := chain.Newest().OpenCheckpoint(proof.Checkpoint)
		if err != nil {
			return err
		}
		if err := proof.Check(tlog.RecordHash(proof.Extra), cp.Tree); err != nil { // the leaf travels with its proof
			return err
		}
		fmt.Printf("entry %d of %d in %s, cosigned by %d\n", proof.Index, cp.Tree.N, cp.Origin, len(cp.Witnesses))
		return nil
	}
	read := func(name string) []byte {
		data, err := os.ReadFile(vectors + name)
		if err != nil {
			panic(err)
		}
		return data
	}
	fmt.Println(verify(read("trust/1"), read("release/2.tlog-proof"), string(read("fingerprint"))))
	fmt.Println(verify(read("trust/1"), read("proof/path-flip"), string(read("fingerprint"))))
	// Output:
	// entry 8 of 9 in vectors.example/list, cosigned by 3
	// <nil>
	// tlog-proof refused: entry 13 is not in the tree of 14: invalid transparency proof
}
