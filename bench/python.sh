#!/bin/sh
# Runs Python with what the benchmarks compare us with, installed first if it is not there: PyTorch for the processor (the one
# that the tests take, see deploy/tools.sh) and bench/requirements.txt.
#
#   bench/python.sh bench/reference.py heterogeneous --hidden 128 --steps 196
#
# Nothing is installed into Python itself: the packages lie in ${RHEO_CACHE:-$HOME/.cache/rheobase}/tools. torch.compile also
# needs a C++ compiler and Python's headers.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
tools=${RHEO_CACHE:-$HOME/.cache/rheobase}/tools
"$root/deploy/tools.sh" torch bench
# Why RTLD_GLOBAL: deploy/tools.sh.
export TORCH_USE_RTLD_GLOBAL=1
export PYTHONPATH="$root/bench:$tools/bench:$tools/torch${PYTHONPATH:+:$PYTHONPATH}"
exec python3 "$@"
