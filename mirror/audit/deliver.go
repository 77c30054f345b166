package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"time"
)

const (
	commandDeadline = time.Minute      // a hook that hangs must not stop the monitor
	webhookDeadline = 30 * time.Second // one try
	webhookTries    = 3
	webhookPause    = 2 * time.Second // before the second try; twice that before the third
	maxAnswer       = 64 << 10
)

// Command is a Delivery that runs a program, without a shell, and writes the message to its standard input as JSON. An
// exit code other than 0 means that the message was not delivered.
type Command struct {
	Argv   []string
	Output io.Writer     // the program's output and errors
	Limit  time.Duration // 0 for a minute
}

// Deliver implements Delivery.
func (c Command) Deliver(ctx context.Context, m Message) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	limit := c.Limit
	if limit == 0 {
		limit = commandDeadline
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.Argv[0], c.Argv[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(append(data, '\n')), c.Output, c.Output
	cmd.WaitDelay = time.Second // children that keep the pipes open are not waited for
	err = cmd.Run()
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%s: not done after %s", c.Argv[0], limit)
	case err != nil:
		return fmt.Errorf("%s: %w", c.Argv[0], err)
	}
	return nil
}

// Webhook is a Delivery that posts the message as JSON. Any answer of the 200s is delivery. A refusal (400s) is final;
// no answer, 408, 429 and 500s are tried again. Redirects are not followed: they would carry alerts elsewhere.
type Webhook struct {
	url    string
	client *http.Client
	agent  string
	pause  time.Duration
}

// NewWebhook takes an http or https address. agent is sent as User-Agent.
func NewWebhook(address, agent string) (*Webhook, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("%q is not the address of a webhook, such as https://alerts.example/hook", address)
	}
	return &Webhook{url: address, agent: agent, pause: webhookPause, client: &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, MaxResponseHeaderBytes: maxAnswer},
	}}, nil
}

// Deliver implements Delivery.
func (w *Webhook) Deliver(ctx context.Context, m Message) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	defer w.client.CloseIdleConnections()
	pause := w.pause
	for try := 1; ; try++ {
		again, err := w.post(ctx, data)
		if err == nil || !again || try == webhookTries {
			return err
		}
		select {
		case <-time.After(pause):
			pause *= 2
		case <-ctx.Done():
			return err
		}
	}
}

func (w *Webhook) post(ctx context.Context, data []byte) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, webhookDeadline)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(data))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", w.agent)
	resp, err := w.client.Do(req)
	if err != nil {
		return true, err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)) // so that the connection can be used again
	switch code := resp.StatusCode; {
	case code >= 200 && code < 300:
		return false, nil
	case code == http.StatusRequestTimeout, code == http.StatusTooManyRequests, code >= 500:
		return true, fmt.Errorf("webhook: %s", resp.Status)
	}
	return false, fmt.Errorf("webhook: %s", resp.Status)
}
