package durable

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// Open opens a regular file for reading. Anything else is an error at once: to open a named pipe waits for a writer, past
// every signal.
func Open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// ReadFile reads a whole regular file.
func ReadFile(path string) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	// All at once: a buffer that grows copies and clears a list of a hundred megabytes several times, and as the runtime
	// interrupts neither, the answers of a daemon would wait for it.
	all := make([]byte, info.Size())
	n, err := io.ReadFull(f, all)
	switch {
	case err == io.EOF || err == io.ErrUnexpectedEOF: // it has become shorter
		return all[:n], nil
	case err != nil:
		return nil, err
	}
	more, err := io.ReadAll(f) // it has become longer
	return append(all, more...), err
}
