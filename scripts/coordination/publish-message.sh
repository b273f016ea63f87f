#!/bin/sh
# publish-message.sh <type> <subject> <description> [--to <instance>] [--ack | --no-ack] [--reply-to <id>] [--json]
set -eu
here=$0
while [ -L "$here" ]; do # also when it was linked into a bin folder
  target=$(readlink -- "$here")
  case $target in
  /*) here=$target ;;
  *) here=$(dirname -- "$here")/$target ;;
  esac
done
case $here in
*/*) ;;
*) here=./$here ;;
esac
# shellcheck source=scripts/coordination/coord.sh
. "${here%/*}/coord.sh"
coord "${here%/*}" publish "$@"
