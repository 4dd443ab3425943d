#!/bin/sh
# Draws docs/images/accuracy.svg from a run of the sweep in docs/quickstart.md: `make pictures`.
#
#   docs/pictures.sh target/debug
set -eu

[ $# -eq 1 ] || { echo "usage: docs/pictures.sh DIRECTORY-OF-PROGRAMS" >&2; exit 2; }
programs=$(CDPATH='' cd -- "$1" && pwd)
docs=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
sed -n '/^```yaml$/,/^```$/p' "$docs/quickstart.md" | sed '/^```/d' >sweep.yaml
"$programs/rheo" run sweep.yaml --workers 2
PYTHONPATH=${RHEO_CACHE:-$HOME/.cache/rheobase}/tools/python python3 "$docs/accuracy.py" .rheo/results neuron-types "$docs/images/accuracy.svg"
