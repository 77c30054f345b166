package site

// csvFiles are the tables of the statistics, with the columns that they have.
func csvFiles() (files []dataFile) {
	what := map[string]string{
		"size.csv":      "how many entries the list had, after the last release of each day with changes",
		"joined.csv":    "entries of today, by the month since which they are listed without a break",
		"tlds.csv":      "entries by top-level domain",
		"suffixes.csv":  "entries by public suffix",
		"providers.csv": "entries by the registered name of the MX hosts that they allow",
		"verdicts.csv":  "entries by the verdict of the newest evidence",
		"codes.csv":     "entries by the codes of the newest evidence",
		"failing.csv":   "entries that fail in the newest evidence, by the month since which they do",
		"fixes.csv":     "how long it took until something was put right",
		"survey.csv":    "the survey of domains at large, where there is one",
	}
	add := func(name string, columns []string) {
		f := dataFile{Path: "site/statistics/" + name, What: what[name]}
		for _, c := range columns {
			f.Columns = append(f.Columns, field{Path: c, Type: columnType(c), What: columnTexts[c]})
		}
		files = append(files, f)
	}
	for _, s := range statisticsFiles() {
		add(s.name, s.table(statistics{}).columns)
	}
	add("survey.csv", (&survey{}).table().columns)
	return files
}

// columnTexts say what is in a column; a name means the same in every table.
var columnTexts = map[string]string{
	"day": "the day", "month": "the month", "until": "time of the survey's last look",
	"enforce": "entries in enforce", "testing": "entries in testing", "domains": "how many domains",
	"name": "the name that the row is about", "verdict": "pass, warn, fail, inconclusive, or unseen", "code": "the code",
	"severity": "error, warning or notice", "summary": "what the code means",
	"kind": "what was put right", "ended": "how many times it has been", "median-days": "half of those took no longer",
	"ninety-percent-days": "nine in ten of those took no longer", "open": "how many are not put right yet",
	"left": "how many ended otherwise: the domain left the list, or its owner weakened the entry", "half-open-since": "half of the open ones began on this day or before",
	"table": "total, tld, suffix or provider", "measure": "domains, code, or a measure of the survey", "class": "the measure's class, or the code",
}

func columnType(name string) string {
	switch name {
	case "day", "half-open-since":
		return "YYYY-MM-DD"
	case "month":
		return "YYYY-MM"
	case "until":
		return "time"
	case "enforce", "testing", "domains", "ended", "median-days", "ninety-percent-days", "open", "left":
		return "number"
	}
	return "text"
}
