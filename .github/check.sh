#!/usr/bin/env bash
# The one check of this repository: people, CI and the README run this script.
set -eu -o pipefail

usage() {
	cat <<'END'
usage: .github/check.sh [STAGE...] [--full]

Installs what the checks need, then runs them. Ends with the summary of `go test`.

stages (default: all)
  core      gofmt, vet, mod tidy, staticcheck, shellcheck, actionlint, govulncheck where its database can be reached,
            a build of both programs into bin/, and all tests under the race detector
  servers   tests that run real servers        (versitygw as S3, Trillian on PostgreSQL, local-kms, Postfix, Exim, OpenSMTPD,
            sendmail, nsd, unbound)
  judges    tests that ask other people's tools (Tessera's fsck, cosign, sigstore-go over a Fulcio and a timestamp authority,
            gpgv, tinycdb, nfpm, goreleaser, lintian, mandoc, buildah),
            and the second reader of the formats, in Python
  browser   tests that show the published pages to Chromium, and to the judges of accessibility (axe-core) and of HTML
            (html-validate), which npm installs; pictures of the pages go to $POLICYLIST_ARTIFACTS where that names a folder.
            Asked for alone, it runs nothing else
  With core, go test runs once for all stages asked for; without it, only for
  the packages whose tests use outside programs.

options
  --full    also the long matrices (POLICYLIST_FULL=1)
  --tools   install what the stages need, check nothing

Go 1.26 must be there. Debian packages that miss are installed when this runs as
root with apt (or with CI=true through sudo); otherwise the script names them and
goes on. Programs written in Go are built at the versions of
mirror/storetest/tool/tools.txt into

  $POLICYLIST_TOOLS/<name>@<version>/<name>   (default: ~/.cache/policylist/tools)

Mail servers are Debian's, downloaded and unpacked beside them, never installed.
Packages of npm are those of mirror/storetest/tool/npm/package-lock.json, by their digests,
and are installed beside them, too; nothing of them runs before a test does.

Tests find them there. A test whose server or judge is missing is skipped; with
CI=true it fails. By hand, the judges are asked like this (DIR from
`starttls-list demo --keep DIR`, served on a port of your choice):

  fsck --storage_url=http://127.0.0.1:PORT/ --public_key=DIR/log.vkey --ui=false -v=1 --N=16
      (exits 0 even when the log is broken: look for "Successfully fsck'd log")
  cosign verify-blob --key DIR/release.pub --bundle DIR/public/policy.json.sigstore.json \
      --insecure-ignore-tlog=true DIR/public/policy.json
  gpg --dearmor <DIR/openpgp.pub >openpgp.gpg
  gpgv --keyring ./openpgp.gpg DIR/public/policy.json.asc DIR/public/policy.json
END
}

list=mirror/storetest/tool/tools.txt

say() { printf '== %s\n' "$*"; }
warn() { printf '!! %s\n' "$*" >&2; }
ci() { [ "${CI:-}" = true ]; }

# die_in_ci tells what is missing, and goes on only where a person reads it.
die_in_ci() {
	warn "$*"
	if ci; then exit 1; fi
}

asked() { case " $stages " in *" $1 "*) ;; *) return 1 ;; esac }

# wanted prints the lines of tools.txt that belong to a stage asked for.
wanted() {
	while read -r name stage version source tags; do
		case "$name" in '#' | '') continue ;; esac
		if asked "$stage"; then echo "$name $version $source $tags"; fi
	done <"$list"
}

# present reports whether a Debian package's program, or the file that stands for it, is there.
present() { case $1 in /*) compgen -G "$1" >/dev/null ;; *) command -v "$1" >/dev/null ;; esac }

install_packages() {
	local missing=() name version source tags
	while read -r name version source tags; do
		case $source in apt:*) present "$name" || missing+=("${source#apt:}") ;; esac
	done < <(wanted)
	if [ ${#missing[@]} = 0 ]; then return; fi
	local root=()
	if [ "$(id -u)" != 0 ]; then
		if ! ci || ! command -v sudo >/dev/null; then
			die_in_ci "missing, and only root can install: ${missing[*]}"
			return
		fi
		root=(sudo -n)
	fi
	if ! command -v apt-get >/dev/null; then
		die_in_ci "missing, and there is no apt-get to install: ${missing[*]}"
		return
	fi
	say "apt-get install ${missing[*]}"
	"${root[@]}" apt-get -qq update </dev/null || warn "apt-get update failed; trying with the old lists"
	"${root[@]}" env DEBIAN_FRONTEND=noninteractive \
		apt-get -qq install -y --no-install-recommends "${missing[@]}" </dev/null >/dev/null ||
		die_in_ci "apt-get could not install: ${missing[*]}"
}

program() { echo "$tools/$1@$2/$1"; }

# install_program builds one Go program. It appears in its folder whole or not at all.
install_program() {
	local name=$1 version=$2 source=$3 tags=$4 target start=$SECONDS
	target=$(program "$name" "$version")
	mkdir -p "${target%/*}"
	local temp
	temp=$(mktemp -d "${target%/*}/.tmp.XXXXXX")
	if CGO_ENABLED=0 GOBIN=$temp go install -trimpath -tags="$tags" "$source@$version" >"$temp/log" 2>&1; then
		mv "$temp/$name" "$target"
		say "installed $name $version in $((SECONDS - start)) s"
	else
		warn "$name $version was not built:"
		tail -n 5 "$temp/log" >&2
	fi
	rm -rf "$temp"
}

# install_programs builds two at a time: linking one leaves a core idle.
install_programs() {
	local name version source tags
	while read -r name version source tags; do
		case $source in apt:* | deb:* | root:* | npm:*) continue ;; esac
		if [ -x "$(program "$name" "$version")" ]; then continue; fi
		while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n || true; done
		install_program "$name" "$version" "$source" "$tags" &
	done < <(wanted)
	wait
	while read -r name version source tags; do
		case $source in apt:* | deb:* | root:* | npm:*) continue ;; esac
		if [ ! -x "$(program "$name" "$version")" ]; then die_in_ci "missing: $name $version"; fi
	done < <(wanted)
}

# as_root runs a command as root where that takes no password.
as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; elif ci && command -v sudo >/dev/null; then sudo -n "$@"; else return 1; fi
}

# fetch_package unpacks one Debian package into $temp/tree.
fetch_package() {
	if ! (cd "$temp" && apt-get -qq download "$1") >"$temp/log" 2>&1; then
		warn "$1 was not downloaded: $(tail -n 1 "$temp/log")"
		return 1
	fi
	dpkg -x "$temp"/*.deb "$temp/tree"
	rm "$temp"/*.deb
}

# unpack downloads Debian packages, and the libraries that they need and this machine lacks, and unpacks them below one
# folder, which appears whole or not at all. All but the first may be missing: whether it matters, the tests find out.
unpack() {
	local target=$1 package temp got=()
	shift
	mkdir -p "$tools"
	temp=$(mktemp -d "$tools/.tmp.XXXXXX")
	chmod 755 "$temp"
	mkdir "$temp/tree"
	for package in "$@"; do
		if fetch_package "$package"; then got+=("$package"); elif [ ${#got[@]} = 0 ]; then
			rm -rf "$temp"
			return
		fi
	done
	for package in $(missing_libraries "${got[@]}"); do
		case " ${got[*]} " in *" $package "*) ;; *) fetch_package "$package" || true ;; esac
	done
	# Set-id programs do not look for libraries beside them, and nobody wants them in a cache folder.
	chmod -R ug-s "$temp/tree"
	mv "$temp/tree" "$target"
	rm -rf "$temp"
}

# own gives unpacked packages to root: Postfix takes no plug-in that anybody else could change. Only a cache that CI
# restored, or filled, belongs to somebody else.
own() {
	if [ -d "$1" ] && [ "$(id -u)" != 0 ]; then as_root chown -R 0:0 "$1" || true; fi
}

# missing_libraries prints what apt-get would install for packages, of libraries. The C library has to be the system's.
missing_libraries() {
	apt-get -s -qq --no-install-recommends install "$@" 2>/dev/null |
		awk '$1 == "Inst" && $2 ~ /^lib/ && $2 !~ /^libc(6|-)/ { print $2 }' || true
}

# install_trees has the Debian packages unpacked that must not be installed: mail servers exclude each other, and would
# take port 25.
install_trees() {
	local name version source tags target packages updated=''
	while read -r name version source tags; do
		case $source in deb:*) ;; *) continue ;; esac
		target=$tools/$name@$version
		own "$target"
		if [ -d "$target" ]; then continue; fi
		if ! command -v apt-get >/dev/null; then
			die_in_ci "missing: $name, and there is no apt-get to download it"
			continue
		fi
		if [ -z "$updated" ]; then
			as_root apt-get -qq update </dev/null || warn "apt-get update failed; trying with the old lists"
			updated=1
		fi
		say "unpack $name"
		IFS=, read -ra packages <<<"${source#deb:}"
		unpack "$target" "${packages[@]}" </dev/null
		own "$target"
		if [ ! -d "$target" ]; then die_in_ci "missing: $name"; fi
	done < <(wanted)
}

# install_roots makes the roots of other Debians, for servers of another version than this one has. Each appears whole or
# not at all.
install_roots() {
	local name version source tags target suite packages temp
	while read -r name version source tags; do
		case $source in root:*) ;; *) continue ;; esac
		target=$tools/$name@$version
		if [ -d "$target" ]; then continue; fi
		IFS=: read -r _ suite packages <<<"$source"
		say "debootstrap $suite"
		mkdir -p "$tools"
		temp=$(mktemp -d "$tools/.tmp.XXXXXX")
		if as_root debootstrap --variant=minbase --include="$packages" "$suite" "$temp/root" >"$temp/log" 2>&1 </dev/null; then
			as_root rm -rf "$temp"/root/var/cache/apt "$temp"/root/var/lib/apt/lists
			as_root mv "$temp/root" "$target"
		else
			tail -n 3 "$temp/log" >&2
		fi
		as_root rm -rf "$temp" || true
		if [ ! -d "$target" ]; then die_in_ci "missing: $name"; fi
	done < <(wanted)
}

# install_modules installs npm's packages by the lock file, which then lies beside them: tests take no others. Scripts of
# packages do not run. The folder appears whole or not at all.
install_modules() {
	local name version source tags target temp lock=${list%/*}/npm
	while read -r name version source tags; do
		case $source in npm:*) ;; *) continue ;; esac
		target=$tools/$name@$version
		if cmp -s "$lock/package-lock.json" "$target/package-lock.json"; then continue; fi
		if ! command -v npm >/dev/null; then
			die_in_ci "missing: $name, and there is no npm to install it"
			continue
		fi
		say "npm ci for $name"
		mkdir -p "$tools"
		temp=$(mktemp -d "$tools/.tmp.XXXXXX")
		cp "$lock/package.json" "$lock/package-lock.json" "$temp"
		if (cd "$temp" && npm ci --ignore-scripts --no-audit --no-fund) >"$temp/log" 2>&1 </dev/null; then
			rm -rf "$temp/log" "$target"
			chmod 755 "$temp"
			mv "$temp" "$target"
		else
			tail -n 3 "$temp/log" >&2
			rm -rf "$temp"
			die_in_ci "missing: $name"
		fi
	done < <(wanted)
}

# run_program runs a program of tools.txt, or says that it is missing.
run_program() {
	local name version source tags want=$1
	shift
	while read -r name version source tags; do
		if [ "$name" != "$want" ]; then continue; fi
		if [ ! -x "$(program "$name" "$version")" ]; then
			warn "skipped: $name is missing"
			return
		fi
		say "$name $version"
		"$(program "$name" "$version")" "$@" </dev/null
		return
	done < <(wanted)
}

check_format() {
	say gofmt
	local wrong
	wrong=$(gofmt -l .)
	if [ -n "$wrong" ]; then
		warn "not formatted by gofmt:"
		echo "$wrong" >&2
		exit 1
	fi
}

check_scripts() {
	if command -v shellcheck >/dev/null; then
		say shellcheck
		shellcheck .github/*.sh .github/actions/*.sh .ci/run cmd/starttls-policy/packaging/p* cmd/starttls-list/systemd/*.sh
	else
		warn "skipped: shellcheck is missing"
	fi
	run_program actionlint
}

check_vulnerabilities() {
	local answer
	if answer=$(run_program govulncheck -mode=query -format json stdlib@go1.26.0 2>&1); then
		run_program govulncheck ./...
	else
		warn "skipped: govulncheck cannot reach its database: $(tail -n 1 <<<"$answer")"
	fi
}

# build makes both programs as a release does: any machine with this commit and this Go gets the same bytes.
build() {
	local version main
	version=$(git describe --tags --always --dirty 2>/dev/null || echo unknown)
	say "build $version"
	for main in cmd/*/main.go; do
		CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$version" -o bin/ "./${main%/main.go}"
	done
}

core() {
	check_format
	say "go vet, go mod tidy"
	go vet ./...
	go vet -tags gcpkms,azurekms,hashivault ./pipeline/signing
	go mod tidy -diff
	run_program staticcheck ./...
	check_scripts
	check_vulnerabilities
	build
}

# packages prints what go test is to run. The longest come first: last, one alone would keep a processor idle for minutes.
packages() {
	if asked core; then
		echo ./pipeline ./mirror ./cmd/starttls-list ./cmd/starttls-policy ./...
		return
	fi
	local imports using='mirror/storetest(/[a-z]+)?|mirror/site/browsertest|policy/discovery/dnssectest|pipeline/signing/keytest'
	if only_browser; then using=mirror/site/browsertest; fi
	imports=$(go list -f '{{.ImportPath}} {{join .Imports " "}} {{join .TestImports " "}} {{join .XTestImports " "}}' ./...)
	grep -E "(^| )[^ ]+/($using)( |\$)" <<<"$imports" | cut -d ' ' -f 1
}

# only_browser: then a minute is enough, for of all tests only those are run that show something to it.
only_browser() { [ "$(tr -d ' ' <<<"$stages")" = browser ]; }

stages='' full='' only_tools=''
for argument in "$@"; do
	case $argument in
	core | servers | judges | browser) stages="$stages $argument" ;;
	--full) full=1 ;;
	--tools) only_tools=1 ;;
	-h | --help | help)
		usage
		exit 0
		;;
	*)
		usage >&2
		exit 2
		;;
	esac
done
stages=${stages:-core servers judges browser}

cd "$(dirname "$0")/.."
if ! command -v go >/dev/null; then
	warn "Go 1.26 is missing: https://go.dev/dl/"
	exit 1
fi
tools=${POLICYLIST_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/policylist/tools}
GOFLAGS="$(go env GOFLAGS) -buildvcs=false"
export GOFLAGS POLICYLIST_TOOLS="$tools" POLICYLIST_STAGES="$stages"
if [ -n "$full" ]; then export POLICYLIST_FULL=1; fi

install_packages
install_programs
install_trees
install_roots
install_modules
say "what is needed is installed, after $SECONDS s"
if [ -n "$only_tools" ]; then exit 0; fi

if asked core; then core; fi

race=() only=()
if only_browser; then only=(-run 'InBrowser|TestInvalid'); fi
if asked core; then
	if command -v gcc >/dev/null; then race=(-race); else die_in_ci "without the race detector: it needs gcc"; fi
fi
chosen=$(packages)
say "go test, after $SECONDS s"
if [ ${#race[@]} != 0 ]; then export CGO_ENABLED=1; fi
# shellcheck disable=SC2086 # one word a package
exec go test "${race[@]}" "${only[@]}" -timeout "$([ -n "$full" ] && echo 240m || echo 20m)" $chosen
