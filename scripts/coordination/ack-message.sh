#!/usr/bin/env bash
# ack-message.sh <message-id>... [--comment <comment>] [--json]
set -euo pipefail
here=${BASH_SOURCE[0]}
while [[ -L $here ]]; do # also when it was linked into a bin folder
  target=$(readlink -- "$here")
  [[ $target == /* ]] || target=$(dirname -- "$here")/$target
  here=$target
done
[[ $here == */* ]] || here=./$here
# shellcheck source=scripts/coordination/coord.sh
source "${here%/*}/coord.sh"
coord ack "$@"
