#!/bin/sh
# Installs the programs and the libraries they need:
#
#   deploy/install.sh target/dist ~/.local
#
#   PREFIX/bin/rheo, PREFIX/bin/rheo-worker    the programs
#   PREFIX/lib/rheobase/*.so*                  libtorch, which the worker finds by its own place
#   PREFIX/share/...                           completions of bash, zsh and fish, and manual pages
#
# deploy/uninstall.sh PREFIX removes them. PREFIX may be moved as a whole.
# Nothing installed refers to the repository or to the cache of downloads. Installing again replaces what is there.
set -eu

fail() {
    printf 'error: %s\n' "$1" >&2
    [ $# -lt 2 ] || printf '  help: %s\n' "$2" >&2
    exit 1
}

[ $# -eq 2 ] || fail "usage: deploy/install.sh DIRECTORY-OF-PROGRAMS PREFIX"
programs=$1
prefix=$2
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
libtorch=${LIBTORCH:-$root/.libtorch}

for program in rheo rheo-worker; do
    [ -x "$programs/$program" ] || fail "there is no $programs/$program" "make install builds it"
done
[ -e "$libtorch/lib/libtorch_cpu.so" ] || fail "there is no libtorch at $libtorch" "make libtorch puts it there"

mkdir -p "$prefix/bin" "$prefix/lib"
# Prepared aside and renamed: a program that runs keeps the files that it has open.
aside=$prefix/lib/.rheobase.$$
trap 'rm -rf "$aside" "$prefix"/bin/.rheo*.$$' EXIT
trap 'exit 1' INT TERM
mkdir "$aside"
cp -a "$libtorch"/lib/*.so* "$aside/"
for program in rheo rheo-worker; do
    cp "$programs/$program" "$prefix/bin/.$program.$$"
    chmod 755 "$prefix/bin/.$program.$$"
done
rm -rf "$prefix/lib/rheobase"
mv "$aside" "$prefix/lib/rheobase"
for program in rheo rheo-worker; do
    mv "$prefix/bin/.$program.$$" "$prefix/bin/$program"
done
"$prefix/bin/rheo-worker" --version >/dev/null || fail "$prefix/bin/rheo-worker does not start"
for shell in bash:bash-completion/completions/rheo zsh:zsh/site-functions/_rheo fish:fish/vendor_completions.d/rheo.fish; do
    file=$prefix/share/${shell#*:}
    mkdir -p "${file%/*}"
    "$prefix/bin/rheo" completions "${shell%%:*}" >"$file"
done
mkdir -p "$prefix/share/man/man1"
"$prefix/bin/rheo" man "$prefix/share/man/man1" >/dev/null
printf 'installed: %s and %s\n' "$prefix/bin/rheo" "$prefix/bin/rheo-worker"
