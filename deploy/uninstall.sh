#!/bin/sh
# Removes what deploy/install.sh put below a prefix; states, results and caches stay (docs/upgrade.md).
#
#   deploy/uninstall.sh ~/.local
set -eu

[ $# -eq 1 ] || { echo "error: usage: deploy/uninstall.sh PREFIX" >&2; exit 2; }
prefix=$1

rm -f "$prefix/bin/rheo" "$prefix/bin/rheo-worker"
rm -rf "$prefix/lib/rheobase"
rm -f "$prefix/share/bash-completion/completions/rheo" "$prefix/share/zsh/site-functions/_rheo" \
    "$prefix/share/fish/vendor_completions.d/rheo.fish"
rm -f "$prefix"/share/man/man1/rheo.1 "$prefix"/share/man/man1/rheo-*.1
printf 'removed: %s and %s\n' "$prefix/bin/rheo" "$prefix/bin/rheo-worker"
