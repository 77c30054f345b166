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

// ReadNamed reads a file that somebody names, of at most limit bytes. It may be a pipe, as a shell makes for a password, or a
// device that never ends.
func ReadNamed(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s: more than %d bytes, too large", path, limit)
	}
	return data, nil
}
