#!/usr/bin/env bash
# Runs a command on a machine that has nothing but git, Node and npm: a minimal Debian in a folder, made for this run and gone
# after it.
#
#   tools/fresh-machine.sh npm test
#
# The command runs in a clone of HEAD, without standard input, and is process 1, as in many containers: nobody collects
# orphans, and whatever it leaves running ends with it. Node, npm, and the way to the registries are this machine's.
# Exit code: the command's; 69 where no such machine can be made; 124 or 137 where it took too long.
set -euo pipefail

make_within=15m
run_within=60m
usage=64
unavailable=69

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd /
[[ $# -gt 0 ]] || { echo "usage: tools/fresh-machine.sh COMMAND…" >&2; exit "$usage"; }

give_up() {
  echo "no fresh machine: $1" >&2
  exit "$unavailable"
}

running=
# shellcheck disable=SC2317 # the trap calls it
end() {
  [[ -z $running ]] || { kill "$running"; wait "$running"; } 2>/dev/null || true
  [[ -z ${work-} ]] || rm -rf --one-file-system "$work"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# Runs a command in mounts and processes of its own, which are gone with it, however it ends. In the background, because bash
# would heed a signal only after it.
bounded() {
  timeout --kill-after=5 "$1" unshare --mount --pid --fork --kill-child "${@:2}" &
  running=$!
  local code=0
  wait "$running" || code=$?
  running=
  return "$code"
}

[[ $(id -u) == 0 ]] || give_up "only root can make one"
grep -qsx 'ID=debian' /etc/os-release || give_up "it takes a Debian to make one"
install_packages() { DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; }
for program in debootstrap git; do
  command -v "$program" >/dev/null || install_packages "$program" >/dev/null 2>&1 ||
    { apt-get update -qq && install_packages "$program" >/dev/null; } || give_up "$program could not be installed"
done

# Of the places where this machine's packages come from, those of Debian itself: others may have newer ones of the same names.
sources() {
  # shellcheck disable=SC2016 # apt fills these in
  apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian'
}
[[ -n $(sources) ]] || apt-get update -qq || true
# Those for updates have a dash or a slash in their names.
read -r suite mirror < <(sources | awk '$3 !~ "[-/]" { print $3, $2 }') || give_up "apt knows no source of Debian's packages"

work=$(mktemp -d /var/tmp/fresh-machine.XXXXXX) # readable for us alone: npm's settings may hold a token
machine=$work/machine
echo "Making a fresh Debian $suite …"
proxy=$(apt-config dump --format '%v' Acquire::http::Proxy)
[[ -z $proxy ]] || export http_proxy=$proxy # debootstrap does not read apt's
bounded "$make_within" debootstrap --variant=minbase --include=git "$suite" "$machine" "$mirror" >"$work/log" 2>&1 ||
  { tail -n 5 "$work/log" >&2; give_up "debootstrap failed"; }

# How this machine reaches its registries: sources, proxies, logins, certificate authorities.
sources >"$machine/etc/apt/sources.list"
rm -rf "$machine"/var/lib/apt/lists/* # most images of Debian come without an index
apt-config dump | grep '^Acquire::' | grep -v '^Acquire::IndexTargets' >"$machine/etc/apt/apt.conf.d/90acquire"
for place in /etc/apt/auth.conf /etc/apt/auth.conf.d /etc/apt/trusted.gpg.d; do
  [[ ! -e $place ]] || cp -a "$place" "$machine/etc/apt/"
done
cp -L /etc/resolv.conf /etc/hosts "$machine/etc/"
for settings in "$(npm config get globalconfig)" "$(npm config get userconfig)"; do # the later ones win
  [[ ! -f $settings ]] || { cat "$settings"; echo; } >>"$machine/root/.npmrc"
done
for authorities in /etc/ssl/certs/ca-certificates.crt "$(npm config get cafile)" "${NODE_EXTRA_CA_CERTS-}" "${SSL_CERT_FILE-}"; do
  [[ ! -f $authorities ]] || install -D --mode=644 "$authorities" "$machine$authorities"
done
environment=(HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 TERM=dumb)
for name in $(compgen -e | grep -E '^(CI|[a-z]+_proxy|[A-Z]+_PROXY|NODE_EXTRA_CA_CERTS|SSL_CERT_FILE|npm_config_registry)$'); do
  environment+=("$name=${!name}")
done

npm=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")") # above bin/npm-cli.js
install "$(node --print process.execPath)" "$machine/usr/bin/node"
mkdir -p "$machine/usr/lib/node_modules"
cp -a "$npm" "$machine/usr/lib/node_modules/npm"
for program in npm npx; do ln -s "../lib/node_modules/npm/bin/$program-cli.js" "$machine/usr/bin/$program"; done

# Not linked to ours: what is done to it there must not reach ours.
git clone --quiet --no-hardlinks "$repository" "$machine/root/project"

in_machine() {
  # shellcheck disable=SC2016 # $0 is the machine of that shell
  bounded "$run_within" bash -c \
    'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" "$@"' "$machine" \
    env --ignore-environment --chdir=/root/project "${environment[@]}" "$@"
}

in_machine npm --version >"$work/log" 2>&1 || { tail -n 5 "$work/log" >&2; give_up "this machine's Node does not run in it"; }
echo "In a fresh Debian $suite: $*"
code=0
in_machine "$@" || code=$?
left=$(git -C "$machine/root/project" status --porcelain)
[[ -z $left ]] || echo "left in the work tree:"$'\n'"$left" >&2
exit "$code"
