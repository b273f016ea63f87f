#!/bin/bash
# coord-hook: between two tool calls mostly nothing waits, and hearing that must not cost the start of Node. So bash asks
# Redis itself (lua/glance.lua), and only its NOTHING ends the hook here. Whatever else is answered, and whatever setting is
# not understood with certainty, is for the real hook: standard input is not touched.

# The build puts in the name by which Redis knows the script.
GLANCE=@glance@
# A server that stalls for so long has nothing to show in time: the real hook would give up as well.
ANSWER_SECONDS=0.5
# For all of it together, the connection included: /dev/tcp waits for minutes where a server accepts nobody.
ASK_SECONDS=1
# The longest record (src/client/run-record.ts).
RECORD_BYTES=65536
# Beyond this distance the real hook notes that Redis is to be left alone for a while.
FAR_MICROSECONDS=50000
QUIET_SECONDS=10
# How long a host may take for what it has still to write: on a busy machine long, and nobody waits for it.
DRAIN_SECONDS=5

# Whether a word has only characters of a set, and at least one. No pattern with {0,64}: bash takes 1.5 ms to compile one.
is_word() { # word characters longest
  [[ -n $1 && ${#1} -le $3 && $1 != *[!$2]* ]]
}

# How far up the agent is looked for; as many steps as in src/client/agent-run.ts.
ANCESTORS_MAXIMUM=8

# The record of this hook's run (src/client/run-record.ts): that of an ancestor's process, or of a run without one, if it names
# the session that the host names. Sets `record`. Fails where Node has to decide.
find_record() { # session, and again where one process may hold several
  local folder=/run/user/$UID pid=$PPID stat i
  if [[ -d $folder && -O $folder && ! -L $folder ]]; then folder+=/cli-coordination; else folder=/tmp/cli-coordination-$UID; fi
  [[ -d $folder && -O $folder && ! -L $folder ]] || return 1 # anybody may make one in /tmp
  for ((i = 0; i < ANCESTORS_MAXIMUM && pid > 1; i++)); do
    IFS= read -r stat <"/proc/$pid/stat" || return 1
    # shellcheck disable=SC2206 # numbers and a letter; to read them from a here-document is a pipe more for each ancestor
    stat=(${stat##*) })
    if [[ -e $folder/$pid.hook.$2 ]]; then
      read_record "$folder/$pid.hook.$2" || return
      [[ $record == *$'\n'"started=${stat[19]}"$'\n'* && $record == *$'\n'"session=$1"$'\n'* ]]
      return
    fi
    pid=${stat[1]}
  done
  read_record "$folder/0.hook.$1"
}

# Bash cannot open a file without following a link or waiting for a pipe, but nobody else may write into the folder.
read_record() { # file
  [[ -f $1 && -O $1 && ! -L $1 ]] || return 1
  IFS= read -r -d '' -n "$RECORD_BYTES" record <"$1" && return 1 # a NUL, or too long
  record=$'\n'$record
}

# The value of a field of the record; empty where it has none. Sets `value`.
take() { # field
  value=
  [[ $record != *$'\n'"$1="* ]] || { value=${record#*$'\n'"$1="} && value=${value%%$'\n'*}; }
}

# Returns 0 where the real hook would say nothing.
nothing_waits() {
  local session several='' record='' value
  case $* in
  'claude tool') session=${CLAUDE_CODE_SESSION_ID-} ;;
  'gemini tool') session=${GEMINI_SESSION_ID-} ;;
  'opencode tool') session=${OPENCODE_SESSION_ID-} several=$session ;;
  *) return 1 ;;
  esac
  local LC_ALL=C # [a-z] is a letter of English
  is_word "$session" A-Za-z0-9_- 128 && [[ -z ${COORD_OFF-} ]] && find_record "$session" "$several" || return 1

  take standing
  case $value in
  out | guest) return 0 ;; # it takes no part, or is shown nothing
  speaker) ;;
  *) return 1 ;;
  esac
  take quiet_until
  # By bash before 5 it is asked at each tool call.
  ! is_word "$value" 0-9 10 || ((value <= ${EPOCHSECONDS-0} || value > ${EPOCHSECONDS-0} + QUIET_SECONDS)) || return 0
  take instance
  local instance=$value
  is_word "$instance" A-Za-z0-9._- 64 && [[ $instance == [A-Za-z0-9]* ]] || return 1
  take prefix
  local prefix=$value
  is_word "$prefix" 'A-Za-z0-9._:{}-' 64 || return 1

  take local_password
  local password=$value
  [[ -z $password ]] || is_word "$password" A-Za-z0-9 128 || return 1

  local host=localhost port=6379 db=0 rest=$record name
  for name in URL HOST PORT DB; do # whatever else says how to connect is for Node
    take "COORD_REDIS_$name"
    [[ -n $value ]] || continue
    rest=${rest/$'\n'"COORD_REDIS_$name="/}
    case $name in
    URL)
      host=${value#redis://} # not as a pattern, which would cost .3 ms; what is no host or number is refused below
      [[ $host != "$value" ]] || return 1
      [[ $host != */* ]] || db=${host#*/} host=${host%%/*}
      [[ $host != *:* ]] || port=${host#*:} host=${host%%:*}
      db=${db:-0}
      ;;
    HOST) host=$value ;;
    PORT) port=$value ;;
    DB) db=$value ;;
    esac
  done
  [[ $rest != *$'\n'COORD_* ]] || return 1
  # No further than this machine: a name elsewhere would be asked of a resolver, which takes its time.
  [[ $host == localhost || $host == 127.0.0.1 ]] || return 1
  is_word "$port" 0-9 5 && is_word "$db" 0-9 5 || return 1

  # Bash cannot give up connecting, so a child does it, which is abandoned when it takes too long.
  local verdict='' status=0
  exec 3< <(ask </dev/null && printf 0 || printf 1)
  local child=$!
  IFS= read -r -t "$ASK_SECONDS" -N 1 verdict <&3 || status=$?
  ((status <= 128)) || kill -KILL "$child"
  exec 3<&-
  [[ $verdict == 0 ]] || ((status > 128))
}

# Asks Redis at `host`, and returns 0 where the real hook would say nothing.
ask() {
  trap '' PIPE # a server may close at once, for example one with too many clients
  exec 3<>"/dev/tcp/$host/$port" || return 1
  local silent asked=${EPOCHREALTIME-} # bash before 5 has none, and measures nothing
  printf '%sSELECT %s\r\n' "${password:+AUTH $password$'\r\n'}" "$db" >&3
  hears_nothing "${password:+$'+OK\r\n'}"$'+OK\r\n+NOTHING\r\n' || return
  [[ -n $asked && $silent == no ]] && ((${EPOCHREALTIME/./} - ${asked/./} > FAR_MICROSECONDS)) || return 0
  asked=$EPOCHREALTIME # a busy machine is slow once, a distance each time
  hears_nothing $'+NOTHING\r\n' || return
  ((${EPOCHREALTIME/./} - ${asked/./} <= FAR_MICROSECONDS)) # else the real hook notes that it is far away
}

# Asks for `instance` and `session` under `prefix`, and returns 0 where the answer is that nothing waits, or where none comes,
# which sets `silent`.
hears_nothing() { # answer
  printf 'EVALSHA %s 1 %s:meta %s "%s"\r\n' "$GLANCE" "$prefix" "$instance" "id:$session" >&3
  # By its length and not by lines: of a socket bash reads a line byte by byte, with four calls of the system for each.
  local answer='' status=0
  IFS= read -r -t "$ANSWER_SECONDS" -N ${#1} answer <&3 || status=$?
  silent=no
  [[ $answer != "$1" ]] || return 0
  silent=yes
  ((status > 128)) && [[ $1 == "$answer"* ]] # with nothing else so far
}

# Reads away what the host still writes: some take the end of its reader for a failure of the hook. Bash reads two bytes in a
# microsecond, so what is long is for cat. A host that keeps its input open has a reader for as long as that.
drain() {
  local LC_ALL=C
  IFS= read -r -t "$DRAIN_SECONDS" -N 65536 _ || return
  cat <&0 &
  sleep "$DRAIN_SECONDS"
  kill %%
}

if nothing_waits "$@" 2>/dev/null; then
  # Nobody waits for a child, whose streams are not ours.
  drain <&0 >/dev/null 2>&1 3>&- &
  exit 0
fi

here=${BASH_SOURCE[0]}
[[ $here == */* ]] || here=./$here
while [[ -L $here ]]; do # as npm links it into a folder of PATH
  target=$(readlink -- "$here")
  [[ $target == /* ]] || target=${here%/*}/$target
  here=$target
done
command -v node >/dev/null || {
  echo "coord-hook: there is no node on PATH, so no messages are shown; start the agent where \`node --version\` works" >&2
  exit 0 # a hook that fails would disturb the session
}
exec node "${here%/*}/hook.cjs" "$@" 3>&-
