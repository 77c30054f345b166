package keyless

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"time"
)

var (
	oidSHA256     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidSignedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}        // RFC 5652 section 5.1
	oidTSTInfo    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4} // RFC 3161 section 2.4.2
	sha256Name    = pkix.AlgorithmIdentifier{Algorithm: oidSHA256}
)

// imprint is MessageImprint (RFC 3161 section 2.4.1).
type imprint struct {
	Algorithm pkix.AlgorithmIdentifier
	Digest    []byte
}

// stampRequest is TimeStampReq (RFC 3161 section 2.4.1), without policy and extensions.
type stampRequest struct {
	Version      int
	Imprint      imprint
	Nonce        *big.Int
	Certificates bool // certReq: the answer has the authority's certificate in it
}

// stampAnswer is TimeStampResp (RFC 3161 section 2.4.2).
type stampAnswer struct {
	Status struct {
		Status int
		Text   []asn1.RawValue `asn1:"optional"`
		Fail   asn1.BitString  `asn1:"optional"`
	}
	Token asn1.RawValue `asn1:"optional"`
}

// contentInfo is ContentInfo (RFC 5652 section 3).
type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue `asn1:"explicit,tag:0"`
}

// signedData is the beginning of SignedData (RFC 5652 section 5.1). encoding/asn1 passes over what follows in a SEQUENCE,
// which is for verifiers.
type signedData struct {
	Version    int
	Algorithms asn1.RawValue
	Content    struct {
		Type    asn1.ObjectIdentifier
		Content asn1.RawValue `asn1:"explicit,tag:0"` // an OCTET STRING
	}
}

// stampInfo is the part of TSTInfo (RFC 3161 section 2.4.2) that says what is stamped, and when.
type stampInfo struct {
	Version  int
	Policy   asn1.ObjectIdentifier
	Imprint  imprint
	Serial   *big.Int
	Time     time.Time `asn1:"generalized"`
	Accuracy struct {
		Seconds int `asn1:"optional"`
		Millis  int `asn1:"optional,tag:0"`
		Micros  int `asn1:"optional,tag:1"`
	} `asn1:"optional"`
	Ordering bool     `asn1:"optional"`
	Nonce    *big.Int `asn1:"optional"`
}

// timestamp has the authority say that sig existed while the certificate was valid, and returns its answer. The
// authority's own signature is verified by whoever trusts its certificate.
func (s *Signer) timestamp(ctx context.Context, client *http.Client, sig []byte, certificate *x509.Certificate) ([]byte, error) {
	nonce, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 63))
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(sig)
	request, err := asn1.Marshal(stampRequest{Version: 1, Imprint: imprint{sha256Name, digest[:]}, Nonce: nonce, Certificates: true})
	if err != nil {
		return nil, err
	}
	answer, err := post(ctx, client, s.Timestamp, "application/timestamp-query", request) // RFC 3161 section 3.4
	if err != nil {
		return nil, err
	}
	info, err := parseStamp(answer)
	switch {
	case err != nil:
		return nil, fmt.Errorf("its answer: %w", err)
	case !info.Imprint.Algorithm.Algorithm.Equal(oidSHA256) || !bytes.Equal(info.Imprint.Digest, digest[:]):
		return nil, errors.New("it stamped something else")
	case info.Nonce == nil || info.Nonce.Cmp(nonce) != 0:
		return nil, errors.New("it repeated an old answer")
	case info.Time.Before(certificate.NotBefore) || info.Time.After(certificate.NotAfter):
		return nil, fmt.Errorf("it says %v, and the certificate is valid from %v to %v", info.Time, certificate.NotBefore, certificate.NotAfter)
	}
	return answer, nil
}

var errStamp = errors.New("no timestamp (RFC 3161)")

// parseStamp reads a TimeStampResp down to what is stamped.
func parseStamp(der []byte) (stampInfo, error) {
	var answer stampAnswer
	var outer contentInfo
	var signed signedData
	var content []byte
	var info stampInfo
	if err := unmarshal(der, &answer); err != nil {
		return info, err
	}
	if answer.Status.Status > 1 { // granted, granted with modifications (RFC 3161 section 2.4.2)
		return info, fmt.Errorf("%w: status %d", errStamp, answer.Status.Status)
	}
	if err := unmarshal(answer.Token.FullBytes, &outer); err != nil {
		return info, err
	}
	if err := unmarshal(outer.Content.Bytes, &signed); err != nil {
		return info, err
	}
	if !outer.Type.Equal(oidSignedData) || !signed.Content.Type.Equal(oidTSTInfo) {
		return info, fmt.Errorf("%w: of type %v in %v", errStamp, signed.Content.Type, outer.Type)
	}
	if err := unmarshal(signed.Content.Content.Bytes, &content); err != nil {
		return info, err
	}
	err := unmarshal(content, &info)
	return info, err
}

// unmarshal wants nothing behind the value.
func unmarshal(der []byte, value any) error {
	rest, err := asn1.Unmarshal(der, value)
	if err != nil {
		return fmt.Errorf("%w: %w", errStamp, err)
	}
	if len(rest) > 0 {
		return fmt.Errorf("%w: %d bytes too many", errStamp, len(rest))
	}
	return nil
}
