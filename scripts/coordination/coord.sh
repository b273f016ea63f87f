# shellcheck shell=bash
# Sourced by the scripts beside it. Runs the built coord, which lies relative to this file, in place of the shell.
coord() {
  local root=${BASH_SOURCE[0]%/*}/../..
  local program=$root/dist/coord.cjs
  if [[ ! -f $program ]]; then
    echo "cli-coordination is not built yet: run npm install in $(cd -- "$root" && pwd)" >&2
    exit 1
  fi
  exec node "$program" "$@"
}
