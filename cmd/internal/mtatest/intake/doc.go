// Package intake holds tests in which real mail servers pipe reports into "starttls-list tlsrpt ingest -", by the very lines
// that pipeline/tlsrpt/README.md gives.
package intake
