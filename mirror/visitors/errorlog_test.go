package visitors

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
)

// What a handler's panic leaves in the log names no client.
func TestPanicNamesNobody(t *testing.T) {
	var log bytes.Buffer
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	web := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("the handler's words") }), ErrorLog: ErrorLog(slog.New(slog.NewTextHandler(&log, nil)))}
	go func() { defer close(ended); web.Serve(l) }()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	client := conn.LocalAddr().String()
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
	io.Copy(io.Discard, conn)
	conn.Close()
	web.Close()
	<-ended
	if text := log.String(); !strings.Contains(text, "the handler's words") || strings.Contains(text, client) || strings.Contains(text, "127.0.0.1") {
		t.Error(text)
	}
}
