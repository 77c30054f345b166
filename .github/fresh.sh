#!/usr/bin/env bash
# Shows that the README tells everything that is needed: makes an empty Debian, and runs there what the README says.
set -eu -o pipefail

usage() {
	cat <<'USAGE'
usage: .github/fresh.sh [OPTION]...

Makes an empty Debian 12 in a temporary folder, gives it this Go, git, ca-certificates and a clone of the present commit, and
runs the first command of the README there. Nothing else is in it, and nothing of it is left. Ends with "fresh: ok".

Needs root, debootstrap, and a network or a cache for packages and Go modules.

options
  --whole       the README's second command too, which installs and tests everything; forty minutes and more on two cores
  --root DIR    copy this Debian root instead of asking debootstrap for one
  --modules DIR take Go modules from this module cache (as of "go env GOMODCACHE") before asking the network
USAGE
}

die() {
	printf '!! %s\n' "$*" >&2
	exit 1
}

whole='' root='' modules=''
while [ $# != 0 ]; do
	case $1 in
	--whole) whole=1 ;;
	--root | --modules)
		[ $# -ge 2 ] || die "$1 needs a folder"
		[ -d "$2" ] || die "$1 $2: there is no such folder"
		if [ "$1" = --root ]; then root=$(realpath "$2"); else modules=$(realpath "$2"); fi
		shift
		;;
	-h | --help)
		usage
		exit
		;;
	*)
		usage >&2
		exit 2
		;;
	esac
	shift
done
[ "$(id -u)" = 0 ] || die "only root can change the root folder: sudo .github/fresh.sh"
self=$(realpath "$0")
cd "$(dirname "$self")/.."
go=$(go env GOROOT) || die "Go is missing"

# All mounts are in a namespace of their own, so that none outlives this script, however it ends.
if [ -z "${FRESH_INSIDE:-}" ]; then
	work=$(mktemp -d)
	trap 'rm -rf --one-file-system "$work"' EXIT
	FRESH_INSIDE=$work unshare --mount --pid --fork --kill-child -- "$self" ${whole:+--whole} ${root:+--root "$root"} ${modules:+--modules "$modules"}
	exit
fi

say() { printf '== %s\n' "$*"; }
machine=$FRESH_INSIDE/root

# commands prints those that the README shows below "Two commands", and tells when there is another number of them.
commands() {
	local found
	found=$(awk '/^## / { here = $0 == "## Two commands" } here && /^\$ / { print substr($0, 3) }' README.md)
	[ "$(wc -l <<<"$found")" = 2 ] || die "README.md does not show two commands below \"## Two commands\""
	echo "$found"
}

make_machine() {
	if [ -n "$root" ]; then
		say "a copy of $root"
		cp -a --one-file-system "$root" "$machine"
	else
		say "debootstrap bookworm"
		debootstrap --variant=minbase --include=git,ca-certificates bookworm "$machine" >"$FRESH_INSIDE/log" 2>&1 </dev/null ||
			die "debootstrap: $(tail -n 3 "$FRESH_INSIDE/log")"
	fi
	[ -z "$(chroot "$machine" sh -c 'command -v go gcc make python3 curl' || true)" ] || die "the machine is not empty"
	mkdir -p "$machine/usr/local/go" "$machine/modules"
	mount --bind "$go" "$machine/usr/local/go"
	mount -o remount,bind,ro "$machine/usr/local/go"
	if [ -n "$modules" ]; then
		mount --bind "$modules/cache/download" "$machine/modules"
		mount -o remount,bind,ro "$machine/modules"
	fi
	mount -t proc proc "$machine/proc"
	mount --rbind /dev "$machine/dev"
	mount --rbind /sys "$machine/sys"
	# Names, and where a proxy signs for everybody its certificate, come from this machine.
	cp -L /etc/resolv.conf "$machine/etc/resolv.conf"
	if [ -s /etc/ssl/certs/ca-certificates.crt ]; then cp -L /etc/ssl/certs/ca-certificates.crt "$machine/etc/ssl/certs/ca-certificates.crt"; fi
	# Whoever owns the checkout, root takes a clone of it.
	printf '[safe]\n\tdirectory = *\n' >"$FRESH_INSIDE/gitconfig"
	GIT_CONFIG_GLOBAL=$FRESH_INSIDE/gitconfig git clone -q --no-hardlinks . "$machine/home/policylist"
}

# inside runs a command as a newcomer would, who has just unpacked Go.
inside() {
	local proxy
	proxy=$(go env GOPROXY)
	if [ -n "$modules" ]; then proxy=file:///modules,$proxy; fi
	env -i PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 \
		GOPROXY="$proxy" ${CI:+CI="$CI"} ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} \
		chroot "$machine" bash -c "cd /home/policylist && $1" </dev/null
}

mount --make-rprivate /
wanted=$(commands)
make_machine
while read -r command; do
	say "$command"
	start=$SECONDS
	inside "$command" || die "the README's command failed in an empty Debian: $command"
	say "done in $((SECONDS - start)) s"
	if [ -z "$whole" ]; then break; fi
done <<<"$wanted"
echo "fresh: ok"
