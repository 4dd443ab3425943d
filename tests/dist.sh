#!/bin/sh
# Tries optimised programs as people get them: their size, a prefix that is moved, and wheels in a fresh environment,
# from an empty directory and without a compiler on the PATH.
#
#   tests/dist.sh target/dist target/wheels
set -eu

[ $# -eq 2 ] || { echo "error: usage: tests/dist.sh PROGRAMS WHEELS" >&2; exit 2; }
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
programs=$(CDPATH='' cd -- "$1" && pwd)
wheels=$(CDPATH='' cd -- "$2" && pwd)
python=$(command -v python3)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

fail() {
    printf 'failed: %s\n' "$1" >&2
    exit 1
}

# No compiler: only what any system has.
mkdir "$work/path"
for tool in sh env cat ls uname; do ln -s "$(command -v $tool)" "$work/path/"; done

# Runs the sweep of the demonstration with the programs in the directory $1, from the empty directory $2.
demo() {
    mkdir "$2"
    (cd "$2" && env -i HOME="$2" PATH="$1:$work/path" rheo run "$root/sweeps/demo.yaml" --workers 2 >out 2>err) || {
        cat "$2/err" >&2
        fail "the demonstration with $1"
    }
    done=$(cd "$2" && env -i HOME="$2" PATH="$1:$work/path" rheo query --output csv \
        "select count(*) from trials where status = 'completed'" | tail -n 1)
    [ "$done" -gt 0 ] || fail "no trial completed with $1"
    printf 'ok: the demonstration with %s, %s trials\n' "$1" "$done"
}

bytes=$(wc -c <"$programs/rheo")
[ "$bytes" -lt 60000000 ] || fail "rheo has $bytes bytes, 60 MB are the most"
printf 'ok: rheo has %s bytes, %s\n' "$bytes" "$("$programs/rheo" --version)"

"$root/deploy/install.sh" "$programs" "$work/first" >/dev/null
mv "$work/first" "$work/moved"
demo "$work/moved/bin" "$work/of-prefix"
"$root/deploy/uninstall.sh" "$work/moved" >/dev/null
left=$(find "$work/moved" -type f)
[ -z "$left" ] || fail "uninstalling leaves $left"
echo "ok: uninstalling leaves nothing"

"$python" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-index --find-links "$wheels" rheobase-worker
demo "$work/venv/bin" "$work/of-wheel"
