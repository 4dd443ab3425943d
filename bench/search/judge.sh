#!/bin/sh
# Runs the judge of samplers with the packages it needs, installed first if they are not there: bench/search/requirements.txt and
# PyTorch for the processor (deploy/tools.sh).
#
#   bench/search/judge.sh --smoke
#
# Nothing is installed into Python itself: the packages lie in ${RHEO_CACHE:-$HOME/.cache/rheobase}/tools.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
tools=${RHEO_CACHE:-$HOME/.cache/rheobase}/tools
"$root/deploy/tools.sh" torch search
# Why RTLD_GLOBAL: deploy/tools.sh.
export TORCH_USE_RTLD_GLOBAL=1
export PYTHONPATH="$tools/search:$tools/torch${PYTHONPATH:+:$PYTHONPATH}"
exec python3 "$root/bench/search/judge.py" "$@"
