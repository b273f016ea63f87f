#!/bin/bash
# coord-hook: between two tool calls mostly nothing waits, and hearing that must not cost the start of Node. So bash asks
# Redis itself (lua/glance.lua), and only its NOTHING ends the hook here. Whatever else is answered, and whatever setting is
# not understood with certainty, is for the real hook: standard input is not touched.

# The build puts in the name by which Redis knows the script.
GLANCE=@glance@
# A server that stalls for so long has nothing to show in time: the real hook would give up as well.
ANSWER_SECONDS=0.3
# How long a host may take for what it has still to write: on a busy machine long, and nobody waits for it.
DRAIN_SECONDS=5

# Whether a word has only characters of a set, and at least one. No pattern with {0,64}: bash takes 1.5 ms to compile one.
is_word() { # word characters longest
  [[ -n $1 && ${#1} -le $3 && $1 != *[!$2]* ]]
}

# Returns 0 where the real hook would say nothing.
nothing_waits() {
  local session
  case $* in
  'claude tool') session=${CLAUDE_CODE_SESSION_ID-} ;;
  'gemini tool') session=${GEMINI_SESSION_ID-} ;;
  *) return 1 ;;
  esac
  local LC_ALL=C # [a-z] is a letter of English
  [[ -z $session ]] || is_word "$session" A-Za-z0-9_- 128 || return 1

  local name
  for name in ${!REDIS_@} ${!COORD_@}; do
    case $name in
    REDIS_HOST | REDIS_PORT | REDIS_DB | REDIS_URL | COORD_KEY_PREFIX) ;;
    COORD_ORCHESTRATOR | COORD_PRESENCE_TIMEOUT_SECONDS | COORD_RETENTION_DAYS | COORD_MAX_MESSAGES) ;;
    COORD_ACK_TIMEOUT_SECONDS | COORD_ACK_ATTEMPTS | COORD_ACK_INTERVAL_SECONDS) ;;
    COORD_UNKNOWN_RECIPIENT | COORD_DIRECTION | COORD_WAKE_UNATTENDED | COORD_REDIS_SERVER) ;;
    *) [[ -z ${!name} ]] || return 1 ;;
    esac
  done

  # As src/client/settings.ts looks for it: the nearest file upwards, as far as the folder that holds .git.
  local folder=${CLAUDE_PROJECT_DIR:-${GEMINI_PROJECT_DIR-}} text=
  case $folder/ in / | [!/]* | *//* | */./* | */../*) return 1 ;; esac
  while :; do
    if [[ -e $folder/.coord.json ]]; then
      IFS= read -r -d '' text <"$folder/.coord.json" && return 1 # a NUL
      [[ -n $text ]] || return 1
      break
    fi
    [[ -e $folder/.git || -z $folder ]] && break
    folder=${folder%/*}
  done
  local space=$'[ \t\r\n]*' value='"[A-Za-z0-9._:/{}-]+"' instance='' prefix='' url=''
  local pair="\"(instanceId|keyPrefix|redis|orchestrator)\"$space:$space$value"
  if [[ -n $text ]]; then
    [[ $text =~ ^$space\{$space($pair($space,$space$pair)*)?$space\}$space$ ]] || return 1
    [[ $text =~ .*\"instanceId\"$space:$space\"([^\"]*)\" ]] && instance=${BASH_REMATCH[1]}
    [[ $text =~ .*\"keyPrefix\"$space:$space\"([^\"]*)\" ]] && prefix=${BASH_REMATCH[1]}
    [[ $text =~ .*\"redis\"$space:$space\"([^\"]*)\" ]] && url=${BASH_REMATCH[1]}
  fi
  instance=${CLAUDE_INSTANCE_ID:-$instance}
  [[ -n $instance ]] || return 0 # this project does not take part
  is_word "$instance" A-Za-z0-9._- 64 && [[ $instance == [A-Za-z0-9]* ]] || return 1
  case $instance in [Aa][Ll][Ll] | [Uu][Nn][Kk][Nn][Oo][Ww][Nn]) return 1 ;; esac
  prefix=${COORD_KEY_PREFIX:-${prefix:-coord}}
  is_word "$prefix" 'A-Za-z0-9._:{}-' 64 || return 1

  local host=localhost port=6379 db=0
  if [[ -n ${REDIS_URL-} ]]; then
    url=$REDIS_URL
  elif [[ -n ${REDIS_HOST-}${REDIS_PORT-}${REDIS_DB-} ]]; then
    host=${REDIS_HOST:-localhost} port=${REDIS_PORT:-6379} db=${REDIS_DB:-0} url=
  fi
  if [[ -n $url ]]; then
    host=${url#redis://} port=6379 # not as a pattern, which would cost .3 ms; what is no host or number is refused below
    [[ $host != "$url" ]] || return 1
    [[ $host != */* ]] || db=${host#*/} host=${host%%/*}
    [[ $host != *:* ]] || port=${host#*:} host=${host%%:*}
    db=${db:-0}
  fi
  # Bash cannot give up connecting: only where the answer comes at once.
  [[ $host == localhost || $host == 127.0.0.1 ]] || return 1
  is_word "$port" 0-9 5 && is_word "$db" 0-9 5 || return 1

  trap '' PIPE # a server may close at once, for example one with too many clients
  exec 3<>"/dev/tcp/$host/$port" || return 1
  printf 'SELECT %s\r\nEVALSHA %s 1 %s:meta %s "%s"\r\n' "$db" "$GLANCE" "$prefix" "$instance" "${session:+id:$session}" >&3
  # By its length and not by lines: of a socket bash reads a line byte by byte, with four calls of the system for each.
  local nothing=$'+OK\r\n+NOTHING\r\n' answer='' status=0
  IFS= read -r -t "$ANSWER_SECONDS" -N ${#nothing} answer <&3 || status=$?
  [[ $answer == "$nothing" ]] || { ((status > 128)) && [[ $nothing == "$answer"* ]]; } # stalled, with nothing else so far
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

trap - PIPE
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
