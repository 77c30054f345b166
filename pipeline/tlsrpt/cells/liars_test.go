package cells

import "slices"

// liars are what README.md says of contributors that lie: of the published cells, the share that they moved out of what
// honest contributors saw, towards a fault, where they were fewer than half, and the share that says another thing than
// without them.
type liars struct{ invented, minority, moved, cells float64 }

// lies draws worlds in which each fifth contributor claims that no host of any domain offers STARTTLS.
func lies(worlds int, plain bool) liars {
	var out liars
	for i := range worlds {
		w := newWorld(uint64(i), 2)
		w.plain = plain
		w.crowd(5 + w.IntN(maxOperators-4))
		for k, o := range w.others {
			o.liar = k%5 == 4
		}
		w.draw(w.others, 2)
		lied := w.tables(1)
		honest := w.honestly()
		for k, t := range w.tables(1) {
			out.compare(w, weeks+k, lied[k], t, honest)
		}
	}
	out.invented /= out.minority
	out.moved /= out.cells
	return out
}

// honestly lets the liars say what they see, from now on, and returns what the others said.
func (w *world) honestly() map[int][]Observation {
	liar := map[string]bool{}
	for _, o := range w.others {
		liar[o.name], o.liar = o.liar, false
	}
	honest := map[int][]Observation{}
	for k, seen := range w.drawn {
		for i, o := range seen {
			if !liar[o.Contributor] {
				honest[k] = append(honest[k], o)
				continue
			}
			for d := range w.domains {
				if w.domains[d] == o.Domain {
					f := w.fault[d]
					seen[i].Failed = failures(f.class, int64(f.share*float64(o.Sessions)))
				}
			}
		}
	}
	return honest
}

// compare looks at the rows of domains that both tables have.
func (l *liars) compare(w *world, k int, lied, told Table, honest map[int][]Observation) {
	rows, all := sum(slices.Values(honest[k]), theWeek(k).Has, w.listed), sum(slices.Values(w.drawn[k]), theWeek(k).Has, w.listed)
	for i, d := range w.domains {
		a, ok := lied.Row(w.domains[i])
		b, also := told.Row(w.domains[i])
		if !ok || !also {
			continue
		}
		few := rows[d] != nil && 2*len(rows[d].votes[Senders]) > len(all[d].votes[Senders])
		for class := range a {
			l.cells++
			l.moved += float64(bit(a[class] != b[class]))
			high := None
			if row := rows[d]; row != nil {
				for _, v := range row.votes[Senders] {
					high = max(high, bucketOf(v.share(class)))
				}
			}
			if few && class > 0 {
				l.minority++
				l.invented += float64(bit(a[class] > high))
			}
		}
	}
}
