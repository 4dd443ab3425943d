#!/bin/sh
# Makes sure that tools for development are there, installing those that are not into
# ${RHEO_CACHE:-$HOME/.cache/rheobase}/tools. What is on PATH already is taken.
#
#   deploy/tools.sh cargo-nextest cargo-deny cargo-machete typos python
#
# `python` stands for the Python packages that read our results in the tests; they go into a directory of their own.
set -eu

cache=${RHEO_CACHE:-$HOME/.cache/rheobase}
tools=$cache/tools
mkdir -p "$tools/bin"
PATH=$tools/bin:$PATH
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

from_cargo() {
    command -v "$1" >/dev/null || cargo install --quiet --locked --root "$tools" "$1@$2"
}

# typos is published as a Python wheel that holds nothing but the program.
install_typos() {
    ! command -v typos >/dev/null || return 0
    work=$(mktemp -d)
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --target "$work" typos==1.52.0
    cp "$work/bin/typos" "$tools/bin/"
    rm -rf "$work"
}

python_packages() {
    list=$root/tests/requirements.txt
    home=$tools/python-$(cksum <"$list" | cut -d' ' -f1)
    if [ ! -d "$home" ]; then
        rm -rf "$home.new"
        python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --only-binary=:all: --target "$home.new" -r "$list"
        mv "$home.new" "$home"
    fi
    ln -sfn "$home" "$tools/python"
}

for tool in "$@"; do
    case $tool in
    cargo-nextest) from_cargo cargo-nextest 0.9.151 ;;
    cargo-deny) from_cargo cargo-deny 0.20.2 ;;
    cargo-machete) from_cargo cargo-machete 0.9.2 ;;
    typos) install_typos ;;
    python) python_packages ;;
    *) echo "error: no such tool: $tool" >&2; exit 2 ;;
    esac
done
