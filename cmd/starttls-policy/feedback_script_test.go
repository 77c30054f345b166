package main

import (
	"encoding/json"
	encoding "encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/starttls-everywhere/policylist/mirror/feedback"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/tlsrpt"
)

// scriptOperator judges what it takes as the list's own intake does: the validator, and the signature by the key in var/.
func scriptOperator(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: operator VAR NOTICE…")
	}
	work, notices, received, days := ts.Getenv("WORK"), args[1:], 0, map[tlsrpt.Day]bool{}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		received++
		if err == nil {
			err = os.WriteFile(fmt.Sprintf("%s/received-%d", work, received), body, 0o644)
		}
		receipt, status := tlsrpt.Receipt{Status: tlsrpt.ReceiptAccepted}, http.StatusCreated
		for _, n := range notices {
			receipt.Notices = append(receipt.Notices, tlsrpt.Notice(n))
		}
		c, errBody := tlsrpt.ValidateContribution(body)
		key, errKey := feedback.LoadKey(work + "/var/" + feedback.KeyFile)
		sender, errName := policy.ParseDomain(r.Header.Get(tlsrpt.ContributorHeader))
		switch {
		case slices.Contains(notices, "down"):
			w.WriteHeader(http.StatusBadGateway)
			return
		case err != nil || errBody != nil || errKey != nil || errName != nil || r.Header.Get("Content-Type") != tlsrpt.ContributionType,
			!tlsrpt.VerifyContribution(key.Public(), r.Header.Get(tlsrpt.SignatureHeader), r.Host, sender, body):
			receipt, status = tlsrpt.Receipt{Status: tlsrpt.ReceiptRefused, Reason: fmt.Sprint(err, errBody, errKey, errName)}, http.StatusBadRequest
		case days[c.Day]:
			receipt, status = tlsrpt.Receipt{Status: tlsrpt.ReceiptDuplicate}, http.StatusConflict
		}
		days[c.Day] = true
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(receipt) // whoever asked may be gone
	}))
	ts.Defer(server.Close)
	ca := encoding.EncodeToMemory(&encoding.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	ts.Check(os.WriteFile(work+"/operator.pem", ca, 0o644))
	ts.Setenv("SSL_CERT_FILE", work+"/operator.pem")
	ts.Setenv(args[0], strings.TrimSuffix(server.URL, "/")+tlsrpt.FeedbackPath)
}
