package main

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// mtaCases are what went wrong between mail servers and policy daemons, ours or others', by the number of the report, and the
// tests in which it would go wrong again. A name is FOLDER.Test, from the root of the tree, with the script's name behind it
// where that is one of the testscripts.
var mtaCases = map[string][]string{
	"1":  {"mirror/socketmap.TestEntriesThatArePartlyWrong", "mirror/socketmap.TestWhatASearchTeaches", "cmd/internal/mtatest/postfix.TestFacts"}, // nothing to match
	"2":  {"mirror/socketmap.TestEntriesThatArePartlyWrong", "policy/mta.TestInjectionIsNoName"},                                                  // an address for a name
	"5":  {"mirror/socketmap.TestDialects", "policy/mta.TestWhatNoLineMayHold"},                                                                   // an attribute that is too new
	"7":  {"mirror/socketmap.TestManyRequestsOnOneConnection", "mirror/socketmap.TestPostfixAsks"},
	"8":  {"mirror/socketmap.TestPostfixAsksAgainAtOnce", "mirror/socketmap.TestSilence"}, // connections that either side closes
	"9":  {"cmd/starttls-policy.TestLiveDANE", "policy/discovery.TestDANE"},               // TLSA records that DNSSEC does not prove
	"12": {"cmd/starttls-policy.TestLivePolicies", "cmd/starttls-policy.TestScripts/serve"},
	"13": {"cmd/starttls-policy.TestSurveyOfLivePolicies", "cmd/starttls-policy.TestScripts/explain"}, // a failed lookup is not "none"
	"14": {"cmd/internal/mtatest/doctor.TestChroot", "cmd/starttls-policy.TestDoctorAsksTheDaemon"},
	"15": {"cmd/starttls-policy.TestSocketModeAndGroup"},
	"16": {"cmd/starttls-policy.TestScripts/serve", "cmd/starttls-policy.TestSocketModeAndGroup"}, // a socket that a killed one left
	"17": {"cmd/starttls-policy.TestUnderSystemd", "cmd/starttls-policy.TestUnitsVerify", "cmd/internal/mtatest/postfix.TestDaemon"},
	"18": {"cmd/starttls-policy/packaging.TestProgramIsStaticAndModest"},                                        // processors that are older than the builder's
	"20": {"mirror/socketmap.TestDomainsOnOneHostKeepTheirPolicies", "cmd/internal/mtatest/postfix.TestDaemon"}, // nothing is said of a domain that nobody lists
	"21": {"cmd/starttls-policy.TestExitCodesOfCommands"},
	"23": {"mirror/socketmap.TestEarlyAdopter", "cmd/starttls-policy.TestScripts/serve"},
	"25": {"mirror.TestRollback"},
	"26": {"cmd/starttls-policy.TestScripts/serve", "cmd/starttls-policy.TestRepliesAreTheSameBytes"}, // a start without network
	"27": {"cmd/internal/mtatest/postfix.TestStatic", "cmd/internal/mtatest/postfix.TestDaemon"},      // mail waits, and never bounces
	"28": {"mirror/socketmap.TestLiveBeatsTheListInEitherDirection", "cmd/starttls-policy.TestLivePolicies"},
	"29": {"mirror/socketmap.TestDomainsOnOneHostKeepTheirPolicies"},
	"30": {"cmd/starttls-policy.TestLiveDANE", "policy/discovery.TestDANE"}, // SERVFAIL for TLSA
	"31": {"mirror/socketmap.TestKeysAsPostfixSendsThem", "cmd/internal/mtatest/postfix.TestKeys"},
	"33": {"cmd/starttls-policy.TestLiveMXNarrowsSuffixes", "policy/mta.TestPostfixMatchesCertificatesAsTheModelSays"},
	"34": {"policy/mta.TestWhatNoLineMayHold", "mirror/socketmap.TestDialects"},
	"36": {"policy/mta.TestEachFormat", "policy/mta.TestFormatsOfTheWorstNames"},
	"37": {"cmd/starttls-policy.TestScripts/serve", "cmd/internal/mtatest/postfix.TestDaemon"}, // a switch for everything
	"38": {"cmd/starttls-policy.TestDoctorAsksTheDaemon", "cmd/starttls-policy.TestScripts/doctor"},
	"39": {"mirror/socketmap.TestInjectionIntoReplies", "policy/mta.TestInjectionIsNoName", "policy/mta.TestHeaderCannotBecomeALine"},
	"40": {"mirror/socketmap.TestKeysAsPostfixSendsThem", "cmd/starttls-policy.TestScripts/first", "policy/mta.TestOldClientOnTheLastOldList"},
	"41": {"mirror/socketmap.TestKeysAsPostfixSendsThem", "mirror/socketmap.TestPostfixAsks", "cmd/internal/mtatest/postfix.TestKeys"},
}

// mtaFacts are what the design rests on, and the tests that measure it with a real Postfix, or hold us to it.
var mtaFacts = map[string][]string{
	"1":  {"policy/mta.TestPostfixMatchesCertificatesAsTheModelSays", "policy/mta.TestModelOfPostfixMatching"}, // a leading dot is any depth
	"2":  {"policy/mta.TestPostfixMatchesCertificatesAsTheModelSays", "cmd/internal/mtatest/postfix.TestFacts"},
	"3":  {"cmd/internal/mtatest/postfix.TestFacts", "mirror/socketmap.TestDialects", "policy/mta.TestDialectOfAVersion"}, // one label, from 3.10.5 on
	"4":  {"cmd/internal/mtatest/postfix.TestFacts"},
	"5":  {"cmd/internal/mtatest/postfix.TestFacts"},                                                                                                   // a dead map stops all mail
	"6":  {"cmd/internal/mtatest/postfix.TestKeys", "mirror/socketmap.TestKeysAsPostfixSendsThem"},                                                     // keys
	"7":  {"cmd/internal/mtatest/postfix.TestFacts", "policy/mta.TestWhatNoLineMayHold"},                                                               // an empty match
	"8":  {"cmd/internal/mtatest/postfix.TestFacts", "mirror/socketmap.TestDialects"},                                                                  // words for reports
	"9":  {"cmd/starttls-policy.TestLiveDANEBeatsMTASTS", "mirror/socketmap.TestLiveBeatsTheListInEitherDirection", "mirror/socketmap.TestWhoDecides"}, // who comes first
	"10": {"cmd/starttls-policy.TestScripts/expiry", "cmd/internal/mtatest/postfix.TestStatic"},                                                        // the end of a list
}

// TestCasesHaveTheirTests: every name above is a test of the tree, and every case of the collection, where that is at hand, is
// above.
func TestCasesHaveTheirTests(t *testing.T) {
	tests := map[string]map[string]bool{}
	for what, table := range map[string]map[string][]string{"case": mtaCases, "fact": mtaFacts} {
		for number, names := range table {
			for _, name := range names {
				at := strings.Index(name, ".Test")
				if at < 0 {
					t.Fatalf("%s %s: %q names no test", what, number, name)
				}
				folder := name[:at]
				if tests[folder] == nil {
					tests[folder] = testsIn(t, filepath.Join("../..", folder))
				}
				test, script, isScript := strings.Cut(name[at+1:], "/")
				if !tests[folder][test] {
					t.Errorf("%s %s: there is no %s in %s", what, number, test, folder)
				}
				if isScript && !exists(filepath.Join("../..", folder, "testdata/script", script+".txtar")) {
					t.Errorf("%s %s: there is no script %s", what, number, script)
				}
			}
		}
	}
	collection, err := os.ReadFile("../../../shared/cases/mta.md")
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the collection of cases is not part of this repository")
	}
	if err != nil {
		t.Fatal(err)
	}
	for what, row := range map[string]string{"case": `(?m)^\| (\d+) \| `, "fact": `(?m)^(\d+)\. \*\*`} {
		table := map[string]map[string][]string{"case": mtaCases, "fact": mtaFacts}[what]
		rows := regexp.MustCompile(row).FindAllStringSubmatch(string(collection), -1)
		if len(rows) < 10 {
			t.Errorf("the collection has %d %ss", len(rows), what)
		}
		for _, r := range rows {
			if len(table[r[1]]) == 0 {
				t.Errorf("%s %s has no test", what, r[1])
			}
		}
	}
}

// testsIn are the names of the tests in a folder.
func testsIn(t *testing.T, dir string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: no tests: %v", dir, err)
	}
	found := map[string]bool{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
				found[f.Name.Name] = true
			}
		}
	}
	return found
}
