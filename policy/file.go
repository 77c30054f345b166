package policy

// File is one file's bytes under the name that findings show for it. This package opens nothing itself.
type File struct {
	Path string
	Data []byte
}
