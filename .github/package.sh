#!/usr/bin/env bash
# Builds what a release consists of: static programs, Debian packages, the context of the container image.
set -eu -o pipefail

usage() {
	cat <<'USAGE'
usage: .github/package.sh [OPTION]... OUT

Makes in the folder OUT, which must be absent or empty:

  NAME-OS-ARCH               static programs
  NAME-OS-ARCH.cdx.json      what is linked into each (SBOM, CycloneDX 1.6)
  NAME_VERSION_ARCH.deb      Debian packages
  image/ARCH/                what "docker build" and "buildah bud" of starttls-policy take; nothing is fetched
  SHA256SUMS                 of all files above
  SHA256SUMS.sig             where SOFTWARE_KEY is set: its signature, by .github/sign.sh

But for the signature, any machine with this source and this Go makes the same bytes.

options
  --program NAME    starttls-policy or starttls-list; may be repeated (default: both)
  --arch ARCH       of packages and image: amd64, arm64; may be repeated (default: both)
  --os OS           for programs alone, beside linux: freebsd, darwin; may be repeated

environment
  VERSION             of the release: v1.2.3 (default: what git describe says)
  SOURCE_DATE_EPOCH   date of everything made, in seconds since 1970 (default: the commit's)
  MAINTAINER          of the packages, "name <address>"
  SOFTWARE_KEY        key of the software, and SOFTWARE_KEY_PASSWORD; without, nothing is signed
  POLICYLIST_TOOLS    where .github/check.sh has installed nfpm and cyclonedx-gomod
USAGE
}

die() {
	printf '!! %s\n' "$*" >&2
	exit 1
}

programs=() archs=() systems=() out=''
while [ $# != 0 ]; do
	case $1 in
	--program | --arch | --os)
		[ $# -ge 2 ] || die "$1 needs a value"
		case $1 in --program) programs+=("$2") ;; --arch) archs+=("$2") ;; --os) systems+=("$2") ;; esac
		shift 2
		;;
	-h | --help)
		usage
		exit
		;;
	-*)
		usage >&2
		exit 2
		;;
	*)
		[ -z "$out" ] || die "one folder is enough"
		out=$1
		shift
		;;
	esac
done
[ -n "$out" ] || {
	usage >&2
	exit 2
}
if [ ${#programs[@]} = 0 ]; then programs=(starttls-policy starttls-list); fi
if [ ${#archs[@]} = 0 ]; then archs=(amd64 arm64); fi

umask 022
export LC_ALL=C TZ=UTC
mkdir -p "$out"
[ -z "$(ls -A "$out")" ] || die "$out is not empty"
out=$(cd "$out" && pwd)
cd "$(dirname "$0")/.."
here=$PWD
if [ -n "${SOFTWARE_KEY:-}" ]; then SOFTWARE_KEY=$(realpath "$SOFTWARE_KEY"); fi

from_git() { git "$@" 2>/dev/null || true; }
: "${VERSION:=$(from_git describe --tags --always --dirty)}"
: "${SOURCE_DATE_EPOCH:=$(from_git log -1 --format=%ct)}"
: "${MAINTAINER:=policylist maintainers <policylist@users.noreply.github.com>}"
if [ -z "$VERSION" ] || [ -z "$SOURCE_DATE_EPOCH" ]; then die "not in a git repository: set VERSION and SOURCE_DATE_EPOCH"; fi
export SOURCE_DATE_EPOCH MAINTAINER

# debian_version is what dpkg orders rightly: v1.2.3-rc1 before v1.2.3, commits after their tag, and what has no tag before
# everything that has one.
debian_version() {
	case $1 in
	v[0-9]*-[0-9]*-g*) sed 's/^v//; s/-\([0-9]*\)-g/+\1.g/; s/-/~/g' <<<"$1" ;;
	v[0-9]*) sed 's/^v//; s/-/~/g' <<<"$1" ;;
	*) echo "0~$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y%m%d%H%M%S).${1//-/.}" ;;
	esac
}
debian=$(debian_version "$VERSION")

tools=${POLICYLIST_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/policylist/tools}
tool() {
	local path
	path=$tools/$(awk -v name="$1" '$1 == name { print $1 "@" $3 "/" $1 }' mirror/storetest/tool/tools.txt)
	[ -x "$path" ] || die "$1 is missing: .github/check.sh judges --tools installs it"
	echo "$path"
}
nfpm=$(tool nfpm)
cyclonedx=$(tool cyclonedx-gomod)

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

# compile makes one program. GOAMD64=v1: it has to run on every amd64 processor there is, also where the builder's own
# settings ask for more.
compile() {
	local name=$1 os=$2 arch=$3 target=$4
	CGO_ENABLED=0 GOOS=$os GOARCH=$arch GOAMD64=v1 GOARM64=v8.0 GOEXPERIMENT='' GOFLAGS=-mod=readonly \
		go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION" -o "$target" "./cmd/$name"
}

# inventory says what is linked into a program. The tool's own digests are left out: they are those of the machine that
# built it.
inventory() {
	"$cyclonedx" bin -json -noserial -notimestamp -std -version "$VERSION" -output "$build/inventory" "$1" 2>/dev/null ||
		die "$1: cyclonedx-gomod made no inventory"
	awk '/^ *"hashes": \[$/ && !seen { skip = 1 } !skip { print } skip && /^ *\],?$/ { skip = 0; seen = 1 }' "$build/inventory" >"$1.cdx.json"
}

# licenses prints those of everything that is linked into a program, Go first.
licenses() {
	local path dir file found
	printf '== Go\n\n'
	cat "$(go env GOROOT)/LICENSE"
	go version -m "$1" | awk '$1 == "dep" { print $2 }' | sort | xargs go list -m -f '{{.Path}} {{.Version}} {{.Dir}}' |
		while read -r path version dir; do
			found=''
			for file in "$dir"/LICENSE* "$dir"/COPYING* "$dir"/NOTICE*; do
				[ -f "$file" ] || continue
				found=1
				printf '\n== %s %s, %s\n\n' "$path" "$version" "${file##*/}"
				cat "$file"
			done
			[ -n "$found" ] || die "$path has no license"
		done
}

# texts makes what is the same for all architectures, by a program for this machine.
texts() {
	local name=$1 program shell
	program=$out/$name-$(go env GOHOSTOS)-$(go env GOHOSTARCH)
	if [ ! -e "$program" ]; then
		program=$build/$name.here
		compile "$name" "$(go env GOHOSTOS)" "$(go env GOHOSTARCH)" "$program"
	fi
	"$program" manual "$build/$name.man"
	find "$build/$name.man" -type f -exec gzip -9n {} +
	for shell in bash zsh fish; do "$program" completion "$shell" >"$build/$name.$shell"; done
	licenses "$program" >"$build/$name.licenses"
	gzip -9n -c "$build/$name.licenses" >"$build/$name.licenses.gz"
	gzip -9n >"$build/$name.changelog.gz" <<CHANGES
$name ($debian) unstable; urgency=medium

  * $VERSION: https://github.com/starttls-everywhere/policylist/releases

 -- $MAINTAINER  $(date -u -R -d "@$SOURCE_DATE_EPOCH")
CHANGES
	if [ "$name" = starttls-policy ]; then "$program" example >"$build/config.toml"; fi
}

package() {
	local name=$1 arch=$2
	install -m 755 "$out/$name-linux-$arch" "$build/$name"
	BUILD=$build GOARCH=$arch VERSION=$debian "$nfpm" package --packager deb --config "cmd/$name/packaging/nfpm.yaml" \
		--target "$out/${name}_${debian}_$arch.deb" >/dev/null
}

# image lays out what the Dockerfile copies, with dates that do not tell when it was built.
image() {
	local context=$out/image/$1
	install -D -m 755 "$out/starttls-policy-linux-$1" "$context/root/starttls-policy"
	install -D -m 644 cmd/starttls-policy/packaging/Dockerfile "$context/Dockerfile"
	install -D -m 644 LICENSE "$context/root/usr/share/doc/starttls-policy/LICENSE"
	install -D -m 644 "$build/starttls-policy.licenses" "$context/root/usr/share/doc/starttls-policy/third-party-licenses"
	install -D -m 644 "$build/roots.pem" "$context/root/etc/ssl/certs/ca-certificates.crt"
	mkdir -p "$context/state"
	touch "$context/state/.keep"
	find "$context" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
}

for name in "${programs[@]}"; do
	for arch in "${archs[@]}"; do
		for os in linux ${systems[@]+"${systems[@]}"}; do 
			compile "$name" "$os" "$arch" "$out/$name-$os-$arch"
			inventory "$out/$name-$os-$arch"
		done
	done
	texts "$name"
	for arch in "${archs[@]}"; do package "$name" "$arch"; done
done
case " ${programs[*]} " in *' starttls-policy '*)
	go run ./cmd/internal/roots >"$build/roots.pem"
	for arch in "${archs[@]}"; do image "$arch"; done
	;;
esac
cd "$out"
find . -type f ! -name SHA256SUMS | sed 's|^\./||' | sort | xargs sha256sum >"$build/SHA256SUMS"
install -m 644 "$build/SHA256SUMS" SHA256SUMS
if [ -n "${SOFTWARE_KEY:-}" ]; then "$here/.github/sign.sh" "$SOFTWARE_KEY" SHA256SUMS SHA256SUMS.sig; fi
