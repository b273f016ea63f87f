# shellcheck shell=bash
# Sourced by the scripts beside it. Runs the built coord, which lies relative to this file, in place of the shell.
coord() {
  # Resolved by the shell: through a linked folder, node would take ".." for the folder the link is in.
  # There and back: a subshell would be a process, and a thirtieth of the whole command.
  local root from=$PWD
  CDPATH="" cd -P -- "${BASH_SOURCE[0]%/*}/../.." || exit
  root=$PWD
  cd -- "$from" || exit
  local program=$root/dist/coord.cjs
  if [[ ! -f $program ]]; then
    echo "cli-coordination is not built yet: run npm install in $root" >&2
    exit 1
  fi
  exec node "$program" "$@"
}
