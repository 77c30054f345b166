#!/usr/bin/env bash
# Builds starttls-list of the source that this script lies in, and puts it into the PATH of a job's later steps.
set -eu -o pipefail
source=$(cd "$(dirname "$0")/../.." && pwd)
bin=$RUNNER_TEMP/policylist
mkdir -p "$bin"
version=$(git -C "$source" describe --tags --always 2>/dev/null || echo devel)
CGO_ENABLED=0 go build -C "$source" -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$version" -o "$bin/" ./cmd/starttls-list
echo "$bin" >>"$GITHUB_PATH"
"$bin/starttls-list" --version
