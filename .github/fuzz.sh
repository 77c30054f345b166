#!/usr/bin/env bash
# Runs each fuzz target of this repository for some time. `go test`, and so check.sh, only runs their seeds.
set -eu -o pipefail

usage() {
	cat <<'END'
usage: .github/fuzz.sh [SECONDS] [PATTERN]

Runs every fuzz target whose "package.FuzzName" matches the regular expression
PATTERN (default: all) for SECONDS (default: 10). An input that fails is kept in
the package's testdata/fuzz; with it in Git, `go test` tries it for ever.
Go keeps what it found interesting in its build cache, so that a longer run goes
on where a shorter one ended.
END
}

seconds=${1:-10} pattern=${2:-.}
case $seconds in
'' | *[!0-9]*)
	usage
	exit 2
	;;
esac
cd "$(dirname "$0")/.."
GOFLAGS="$(go env GOFLAGS) -buildvcs=false"
export GOFLAGS

count=0 failed=()
while IFS=: read -r file _ line; do
	package=./${file%/*}
	target=${line#func }
	target=${target%%(*}
	if ! grep -qE -- "$pattern" <<<"${package#./}.$target"; then continue; fi
	count=$((count + 1))
	echo "== ${package#./}.$target, $seconds s"
	# Go would spend up to a minute on making one input smaller, and make no others meanwhile.
	if ! go test "$package" -run '^$' -fuzz "^$target\$" -fuzztime "${seconds}s" -fuzzminimizetime 1s </dev/null; then
		failed+=("${package#./}.$target")
	fi
done < <(git grep -nE '^func Fuzz[A-Z][A-Za-z0-9]*\(' -- '*_test.go' | sort)

if [ "$count" = 0 ]; then
	echo "no fuzz target matches $pattern" >&2
	exit 2
fi
echo "== $count fuzz targets, ${#failed[@]} failed ${failed[*]-}"
[ ${#failed[@]} = 0 ]
