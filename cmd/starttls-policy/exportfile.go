package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/starttls-everywhere/policylist/cmd/internal/term"
	"github.com/starttls-everywhere/policylist/mirror/durable"
	"github.com/starttls-everywhere/policylist/policy"
	"github.com/starttls-everywhere/policylist/policy/mta"
)

// exportConfig is one [[export]]: a file for a mail server other than Postfix, which every update brings up to date.
type exportConfig struct {
	Format formatName
	File   absolutePath
}

// exportEntry is [[export]] as TOML has it.
type exportEntry struct {
	Format setting[formatName, *formatName]     `toml:"format"`
	File   setting[absolutePath, *absolutePath] `toml:"file"`
}

// formatName is the name of an mta.Format.
type formatName string

// UnmarshalText implements encoding.TextUnmarshaler.
func (n *formatName) UnmarshalText(text []byte) error {
	if _, ok := mta.FindFormat(string(text)); !ok {
		return fmt.Errorf("format = %q: it is one of %s", text, formatNames())
	}
	*n = formatName(text)
	return nil
}

// format is what the name stands for; only names that were found get here.
func (n formatName) format() mta.Format {
	f, _ := mta.FindFormat(string(n))
	return f
}

// exports checks what single keys cannot: every file has one writer.
func (f configFile) exports(c config) ([]exportConfig, error) {
	var out []exportConfig
	taken := map[absolutePath]bool{}
	if c.Postfix != nil {
		taken[c.Postfix.Map] = true
	}
	for _, e := range f.Exports {
		switch x := (exportConfig{e.Format.value, e.File.value}); {
		case x.Format == "" || x.File == "":
			return nil, errors.New("each [[export]] needs a format and a file")
		case taken[x.File]:
			return nil, fmt.Errorf("two tables would be written to %s", x.File)
		default:
			taken[x.File] = true
			out = append(out, x)
		}
	}
	return out, nil
}

// exportText is one [[export]], to be appended to a file.
func exportText(x exportConfig) string {
	return fmt.Sprintf(`
# A file for another mail server, kept up to date by every update: see starttls-policy export --help.
[[export]]
format = %q
file = %q
`, string(x.Format), string(x.File))
}

// exportReport says what became of one file.
type exportReport struct {
	Format     string   `json:"format"`
	File       string   `json:"file"`
	Lines      int      `json:"lines"`
	Testing    int      `json:"testing"`           // entries without a line
	Refused    []string `json:"refused,omitempty"` // "domain: why"
	Written    bool     `json:"written"`           // false: it was as it should be
	Incomplete bool     `json:"incomplete,omitempty"`
	Off        string   `json:"off,omitempty"` // why everything is switched off
	Error      string   `json:"error,omitempty"`
}

// dueExport is a file as it should be.
type dueExport struct {
	path   string
	fill   filling // nil: it is not known what belongs there, so the file stays
	report exportReport
	err    error
}

// filling writes a whole file, as often as it is asked the same: a million lines are never in memory.
type filling func(w io.WriteSeeker) (mta.Report, error)

// fillingHead is more than what a filling may come back to: a database's header, 2,048 bytes.
const fillingHead = 4096

// filled writes the file that is due, and reports what is in it.
func (d *dueExport) filled(w io.WriteSeeker) error {
	report, err := d.fill(w)
	if err == nil {
		d.report.take(report)
	}
	return err
}

// dueExports reads the lists as they are held. A file whose list expired, was lost, or is switched off is emptied, never
// removed: mail servers defer what they cannot look up.
func (a *app) dueExports(c config, lists []list) []dueExport {
	if len(c.Exports) == 0 {
		return nil
	}
	var views []*namedView
	complete, held := true, false
	for _, l := range lists {
		view, ok := loadView(l)
		complete = complete && ok
		if ok {
			views, held = append(views, view), held || view.Release != nil
		}
	}
	off := readSwitch(c.State)
	var out []dueExport
	for _, x := range c.Exports {
		d := dueExport{path: string(x.File), report: exportReport{Format: string(x.Format), File: string(x.File)}}
		switch {
		case off != nil:
			d.report.Off = off.Reason
			d.fill = emptyExport(x.Format.format(), mta.Header{Origin: "none"}, "everything is switched off, until starttls-policy enable")
		case !complete || !held:
			d.report.Incomplete = true
			if was, lasting := madeFrom(d.path, a.now()); !lasting {
				d.fill, d.err = aloneData(x.Format.format(), a.localSay(c), was)
			}
		default:
			d.fill, d.err = exportData(x.Format.format(), views, a.localSay(c))
		}
		out = append(out, d)
	}
	return out
}

func (r *exportReport) take(from mta.Report) {
	r.Lines, r.Testing, r.Refused = from.Emitted, from.Testing, refusals(from)
}

// writeExports brings every [[export]] up to date: each file is the old one or the new one, whole. The kill switch waits for
// nobody, so it is looked at again afterwards, as for the Postfix table.
func (a *app) writeExports(c config, lists []list) (reports []exportReport, err error) {
	for again := true; again; {
		off := readSwitch(c.State) != nil
		reports, err = a.writeExportsOnce(c, lists, reports)
		again = (readSwitch(c.State) != nil) != off
	}
	return reports, err
}

// writeExportsOnce knows by before which of them have been written already.
func (a *app) writeExportsOnce(c config, lists []list, before []exportReport) (reports []exportReport, err error) {
	for i, d := range a.dueExports(c, lists) {
		if d.err == nil && d.fill != nil {
			d.report.Written, d.err = replaceFile(d.path, d.filled)
		}
		if d.err != nil {
			d.report.Error = flat{d.err}.Error()
			err = errors.Join(err, fmt.Errorf("%s: %w", d.path, d.err))
		}
		d.report.Written = d.report.Written || i < len(before) && before[i].Written
		reports = append(reports, d.report)
	}
	return reports, err
}

// exportData renders all lists into one file.
func exportData(f mta.Format, views []*namedView, local localSay) (filling, error) {
	if f.Name == "hints" {
		local.own = nil // who is to be asked about a policy of its own is to be named
	}
	s, err := settle(views, local)
	if err != nil {
		return nil, err
	}
	if s.expired && s.list.Len() == 0 {
		return emptyExport(f, s.header, mta.Expired), nil
	}
	if s.expired {
		s.header = local.header()
	}
	return func(w io.WriteSeeker) (mta.Report, error) { return f.Write(w, s.list.All(), s.header) }, nil
}

// aloneData is a file while nobody knows what the lists say; nil for none, where none was.
func aloneData(f mta.Format, local localSay, was bool) (filling, error) {
	own, err := local.alone()
	switch {
	case err != nil || own.Len() == 0 && !was:
		return nil, err
	case own.Len() == 0:
		return emptyExport(f, mta.Header{Origin: "none"}, "the list that it was made from is lost, and has expired"), nil
	}
	return func(w io.WriteSeeker) (mta.Report, error) { return f.Write(w, own.All(), local.header()) }, nil
}

func emptyExport(f mta.Format, h mta.Header, why string) filling {
	return func(w io.WriteSeeker) (mta.Report, error) { return mta.Report{}, f.Empty(w, h, why) }
}

// replaceFile does nothing when the file is as it should be. One that is empty is a file as well.
func replaceFile(path string, fill func(io.WriteSeeker) error) (changed bool, err error) {
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return false, fmt.Errorf("%s is no regular file, and would be replaced by one", path) // a device, by root
	}
	if same, err := isAsFilled(path, fillingHead, fill); err == nil && same {
		return false, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return false, err
	}
	return true, durable.Write(path, 0o644, fill)
}

// expiryIn finds when a file's list ends: in a comment, in JSON, or in a database's first record. Files made from several
// lists name the first that holds a release, as Postfix's table does.
var expiryIn = regexp.MustCompile(`(?:[#;] expires |"expires":"|#expires)(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)`)

// ownOnly finds whether a file was made from no list, see localSay.header.
var ownOnly = regexp.MustCompile(`[#;] origin  none\n|"origin":"none"|#originnone`)

// madeFrom reports whether there was a file at path, and whether what it was made from is still good: a list that has not
// expired since.
func madeFrom(path string, now time.Time) (was, lasting bool) {
	f, err := os.Open(path)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist), !errors.Is(err, fs.ErrNotExist)
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, 4096))
	if err != nil {
		return true, true
	}
	if ownOnly.Match(head) {
		return true, false
	}
	found := expiryIn.FindSubmatch(head)
	if found == nil {
		return true, true
	}
	expires, err := policy.ParseTime(string(found[1]))
	return true, err != nil || now.Before(expires)
}

func (r exportReport) print(w io.Writer) {
	state := r.File + " as it was"
	switch {
	case r.File == "":
		state = "to standard output"
	case r.Written:
		state = r.File + " written"
	}
	switch {
	case r.Error != "":
		line(w, "%s: FAILED, %s stays as it was: %s", r.Format, r.File, r.Error)
		return
	case r.Off != "":
		line(w, "%s: %s is EMPTY, everything is switched off until \"starttls-policy enable\": %s", r.Format, r.File, r.Off)
		return
	case r.Incomplete:
		line(w, "%s: %s, for what belongs there is not known", r.Format, state)
		return
	}
	testing := ""
	if r.Testing > 0 {
		testing = fmt.Sprintf("; %d testing", r.Testing)
	}
	line(w, "%s: %s: %s%s", r.Format, state, term.Plural(r.Lines, "line"), testing)
	for _, f := range r.Refused {
		line(w, "  refused: %s", f)
	}
}

// compiledSince reports whether the form with the suffix is there and not older than the file; true without a suffix. One
// that is older goes on enforcing what nobody has confirmed since, also after the list's end.
func compiledSince(path, suffix string) bool {
	if suffix == "" {
		return true
	}
	source, err1 := os.Stat(path)
	made, err2 := os.Stat(path + suffix)
	return err1 == nil && err2 == nil && !made.ModTime().Before(source.ModTime())
}

// exportStates compares each file with what it should be, one line each.
func (a *app) exportStates(c config, lists []list) (states []string, right bool) {
	right = true
	for _, d := range a.dueExports(c, lists) {
		state, ok := d.state()
		states, right = append(states, state), right && ok
	}
	return states, right
}

// state compares the file with what it should be.
func (d dueExport) state() (state string, right bool) {
	same, err := false, error(nil)
	if d.err == nil && d.fill != nil {
		same, err = isAsFilled(d.path, fillingHead, d.filled)
	}
	state, right = "as it should be", true
	switch {
	case d.err != nil:
		state, right = "cannot be checked: "+d.err.Error(), false
	case d.fill == nil:
		state = "left as it is, for what belongs there is not known"
	case errors.Is(err, fs.ErrNotExist):
		state, right = "is MISSING; run starttls-policy update", false
	case err != nil:
		state, right = "cannot be read: "+err.Error(), false
	case !same:
		state, right = "is OUT OF DATE; run starttls-policy update", false
	case !compiledSince(d.path, formatName(d.report.Format).format().Compiled):
		state, right = "is right, but the form that the server reads is older or missing: see starttls-policy export "+d.report.Format+" --settings", false
	}
	return fmt.Sprintf("%s: %s %s", d.report.Format, d.path, state), right
}
