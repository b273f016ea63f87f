#!/bin/bash
# Times whole processes. Node would fork the whole bench for each, which takes up to 20 ms and grows with its memory; this small
# shell forks in half a millisecond.
#
# usage: stopwatch.bash <folder>, which has the files `input`, for commands, and `requests`, for an MCP server.
# Reads pairs of lines, the instance and `whole` or `answer`, then a command line that has been quoted. `whole` times the
# process from start to end; `answer` until it has written a result with the id 2. Answers with a line of three numbers: the
# microseconds, those of processor time, the exit status.
LC_ALL=C
TIMEFORMAT='%U %S'
cd -- "$1" || exit 1
mkfifo to-server from-server || exit 1
exec 5<>to-server

microseconds() { # seconds with three or six digits behind the point
  local digits=${1/./}
  [[ ${1#*.} == ??? ]] && digits+=000
  printf '%d' "$((10#$digits))"
}

while read -r instance kind && IFS= read -r line; do
  export CLAUDE_INSTANCE_ID=$instance
  if [[ $kind == whole ]]; then
    {
      begun=$EPOCHREALTIME
      time eval "$line" <input >/dev/null 2>&1
      status=$? ended=$EPOCHREALTIME
    } 2>processor
    read -r user system <processor
    processor=$(($(microseconds "$user") + $(microseconds "$system")))
  else
    printf '%s\n' "$(<requests)" >&5
    grep -q '"id":2[,}]' <from-server &
    reader=$!
    begun=$EPOCHREALTIME
    eval "exec $line" <to-server >from-server 2>/dev/null &
    server=$!
    wait "$reader"
    status=$? ended=$EPOCHREALTIME
    kill -KILL "$server"
    wait "$server" 2>/dev/null
    processor=0
  fi
  printf '%d %d %d\n' "$(($(microseconds "$ended") - $(microseconds "$begun")))" "$processor" "$status"
done
