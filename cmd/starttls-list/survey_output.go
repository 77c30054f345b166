package main

import (
	"bytes"
	"fmt"
	"io"

	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/pipeline/survey"
)

// write puts the statistics where the flags want them; standard output comes last, since it may be a closed pipe.
func (f *surveyFlags) write(stdout io.Writer, r survey.Report) error {
	text, err := r.Append(nil)
	if err != nil {
		return err
	}
	var table bytes.Buffer
	if err := r.WriteCSV(&table); err != nil {
		return err
	}
	for _, file := range []struct {
		flag, path string
		data       []byte
	}{{"stats", f.stats, text}, {"csv", f.csv, table.Bytes()}} {
		if file.path == "" {
			continue
		}
		if err := durable.WriteFile(file.path, file.data, 0o644); err != nil {
			return fmt.Errorf("--%s: %w", file.flag, err)
		}
	}
	if f.asJSON {
		_, err = stdout.Write(text)
		return err
	}
	return r.PrintTotal(stdout)
}
