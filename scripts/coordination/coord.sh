# shellcheck shell=sh
# Sourced by the scripts beside it, which are for sh: where that is dash, it starts in half the time of bash.

# Runs the built coord, which lies relative to the given folder, in place of the shell.
coord() { # folder argument...
  # Resolved by the shell: through a linked folder, node would take ".." for the folder the link is in.
  # There and back: a subshell would be a process, and a thirtieth of the whole command.
  from=$PWD
  CDPATH="" cd -P -- "$1/../.." || exit
  root=$PWD
  # Empty where it was deleted. Staying here would take this folder for the caller's project.
  { [ -n "$from" ] && cd -- "$from" 2>/dev/null; } || {
    echo "The working directory does not exist any more. Change into one that does, for example: cd ~" >&2
    exit 1
  }
  shift
  program=$root/dist/coord.cjs
  if [ ! -f "$program" ]; then
    echo "cli-coordination is not built yet: run npm install in $root" >&2
    exit 1
  fi
  command -v node >/dev/null || {
    echo "There is no node on PATH: cli-coordination needs Node 20.19 or newer" >&2
    exit 1
  }
  exec node "$program" "$@"
}
