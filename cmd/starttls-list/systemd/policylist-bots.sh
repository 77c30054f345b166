#!/usr/bin/env bash
# Lets the bots edit a clone of their own, and pushes what they did as the branch bots/sync for people to read and merge: what
# the workflow "sync" does, on the host that releases. The clone that releases are made from takes merged commits only.
#
# usage: policylist-bots LIST FOLDER
#   LIST    the list's repository, with policylist.toml and the list in "list"; its origin is pushed to
#   FOLDER  for the bots' clone, which is made when absent
set -eu -o pipefail
list=$1 clone=$2/list
branch=bots/sync
main=$(git -C "$list" symbolic-ref --short HEAD)
message=$(mktemp)
trap 'rm -f "$message"' EXIT

[ -d "$clone/.git" ] || git clone -q "$(git -C "$list" remote get-url origin)" "$clone"
cd "$clone"
git fetch -q --prune origin
git checkout -q -f -B "$branch" "origin/$main" # whatever a run that was killed left
for bot in sync-mta-sts promote demote; do
	starttls-list "$bot" --config "$list/policylist.toml" list >"$message"
	if [ -n "$(git status --porcelain -- list)" ]; then
		git add -- list
		git -c user.name="policylist bots" -c user.email=policylist@localhost commit -q -F "$message"
	fi
done
starttls-list check list
if [ "$(git rev-parse HEAD)" = "$(git rev-parse "origin/$main")" ]; then
	echo "nothing to propose"
elif git rev-parse -q --verify "origin/$branch" >/dev/null && git diff --quiet "origin/$branch" HEAD &&
	git merge-base --is-ancestor "origin/$main" "origin/$branch"; then
	echo "it is proposed already" # pushed twice, it would throw away each day what reviewers said
else
	git push -q --force origin "HEAD:refs/heads/$branch"
	echo "proposed as $branch:"
	git log --format=%B "origin/$main..HEAD"
fi
