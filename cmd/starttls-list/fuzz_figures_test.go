package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// root is the repository's folder as these tests see it.
const root = "../.."

// fuzzTargets are all fuzz targets of the repository, "package.FuzzName", and whether seeds are kept with them: in the
// target itself or in the package's testdata.
func fuzzTargets(t *testing.T) map[string]bool {
	t.Helper()
	targets := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() && (d.Name() == "testdata" || d.Name() == ".git" || d.Name() == "bin") {
			if err == nil {
				err = filepath.SkipDir
			}
			return err
		}
		if !strings.HasSuffix(path, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		folder, _ := filepath.Rel(root, filepath.Dir(path))
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !strings.HasPrefix(f.Name.Name, "Fuzz") {
				continue
			}
			_, err := os.Stat(filepath.Join(filepath.Dir(path), "testdata", "fuzz", f.Name.Name))
			targets[filepath.ToSlash(folder)+"."+f.Name.Name] = err == nil || addsSeeds(f)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return targets
}

func addsSeeds(f *ast.FuncDecl) bool {
	found := false
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Add" {
			found = true
		}
		return true
	})
	return found
}

// Everything that is read from somebody else, or from a disk, has a fuzz target with seeds. .github/fuzz.sh runs them.
func TestFiguresFuzz(t *testing.T) {
	targets := fuzzTargets(t)
	for _, name := range []string{
		"transparency.FuzzOpenCheckpoint",         // signed note
		"transparency.FuzzParseCheckpoint",        // its text
		"transparency.FuzzParseProof",             // tlog-proof
		"mirror.FuzzOpenPointer",                  // a release in one
		"transparency.FuzzParseTrust",             // trust version
		"transparency.FuzzParseWitnessPolicy",     // tlog-policy
		"transparency.FuzzParseBundle",            // entry bundle
		"transparency.FuzzParseTilePath",          // tlog-tiles
		"transparency/witness.FuzzRequest",        // tlog-witness
		"transparency/witness.FuzzJudge",          // a witness's answer
		"transparency/tilelog.FuzzRootFile",       // the log's own state
		"mirror.FuzzParseLeaf",                    // leaf
		"mirror.FuzzReplay",                       // leaves
		"policy.FuzzParseList",                    // list
		"mirror.FuzzUnzstd",                       // the list's packed form
		"mirror.FuzzGunzip",                       // a bundle's
		"mirror.FuzzVerifyBundle",                 // cosign bundle
		"mirror.FuzzVerifyKeyless",                // and one without a key
		"pipeline/signing/keyless.FuzzParseChain", // what authorities answer
		"pipeline/signing/keyless.FuzzParseStamp", //
		"pipeline/signing/keyless.FuzzCheckToken", // and what they are asked with
		"mirror.FuzzReadState",                    // a client's state
		"mirror/audit.FuzzParseCursor",            // a monitor's
		"pipeline.FuzzParseContents",              // a publisher's
		"pipeline.FuzzReadTracks",                 // what its gate remembers
		"policy.FuzzSource",                       // source
		"pipeline/probe.FuzzReadEvidence",         // evidence of probes
		"mirror.FuzzParseEvidence",                // evidence of forks
		"policy/mtasts.FuzzPolicy",                // MTA-STS policy
		"policy/mtasts.FuzzRecord",                // MTA-STS record
		"policy/discovery.FuzzParseTLSRPT",        // TLSRPT record
		"policy/tlsrpt.FuzzRead",                  // TLS report
		"policy/tlsrpt.FuzzParseFileName",         // its file's name
		"policy/tlsrpt.FuzzScrub",                 // what a contribution is made of
		"policy/tlsrpt.FuzzValidateContribution",  // and one that came
		"pipeline/tlsrpt.FuzzReadMail",            // a report's mail
		"pipeline/tlsrpt.FuzzAuthenticate",        // its signatures and their keys
		"policy/proof.FuzzParse",                  // proof of control
		"policy/discovery.FuzzAnswer",             // DNS
		"pipeline/probe.FuzzReply",                // SMTP
		"pipeline/probe.FuzzSession",              // and TLS
		"pipeline/probe.FuzzOptOut",               // who asked not to be probed
		"cmd/starttls-policy.FuzzParseConfig",     // configuration of a mail server
		"cmd/starttls-list.FuzzReadConfig",        // and of a publisher
		"pipeline/signing.FuzzDecode",             // keys
		"transparency.FuzzParseReleaseKey",        // and public ones
	} {
		if _, ok := targets[name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
	bare := 0
	for name, seeds := range targets {
		if !seeds {
			bare++
			t.Errorf("%s has no seeds", name)
		}
	}
	t.Logf("figures: fuzz targets %d, without seeds %d (aim 0)", len(targets), bare)
}
