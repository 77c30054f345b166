package socketmap

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// Ask asks one question over a connection on which nothing else goes on. The caller sets the deadline.
func Ask(c io.ReadWriter, mapName, key string) (Reply, error) {
	if _, err := c.Write(appendNetstring(nil, mapName+" "+key)); err != nil {
		return Reply{}, err
	}
	text, err := readNetstringOf(bufio.NewReader(c), nil, maxReply)
	if err != nil {
		return Reply{}, err
	}
	status, rest, _ := strings.Cut(string(text), " ")
	switch status {
	case "OK":
		return Reply{Value: rest}, nil
	case "NOTFOUND":
		return Reply{}, nil
	case "TEMP", "TIMEOUT", "PERM":
		return Reply{Temp: rest}, nil
	}
	return Reply{}, fmt.Errorf("%w: the status %.20q", errNetstring, status)
}
