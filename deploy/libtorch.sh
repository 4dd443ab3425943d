#!/bin/sh
# Puts libtorch 2.11.0 (CPU) where cargo finds it: .libtorch in the repository.
#
#   deploy/libtorch.sh            install if needed; doing it twice changes nothing
#
# An existing libtorch is taken if LIBTORCH names one of the right version. Otherwise the libraries come out of three
# Python wheels, fetched by pip from the index that you have configured and checked against the digests below. Nothing is
# installed into Python. The result lies in ${RHEO_CACHE:-$HOME/.cache/rheobase}, shared by all clones; .libtorch links to it.
set -eu

VERSION=2.11.0
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
link=$root/.libtorch
cache=${RHEO_CACHE:-$HOME/.cache/rheobase}

say() { printf 'libtorch: %s\n' "$*"; }
fail() {
    printf 'error: %s\n' "$1" >&2
    [ $# -lt 2 ] || printf '  help: %s\n' "$2" >&2
    exit 1
}

# Prints nothing if $1 holds a complete libtorch of the right version, else what is wrong with it.
defect() {
    [ -d "$1" ] || { echo "no such directory"; return; }
    [ -f "$1/build-version" ] || { echo "it has no build-version file"; return; }
    found=$(sed 's/+.*//' "$1/build-version")
    [ "$found" = "$VERSION" ] || { echo "it is version $found, not $VERSION"; return; }
    for file in lib/libc10.so lib/libtorch_cpu.so lib/libtorch.so include/torch/csrc/api/include/torch/torch.h; do
        [ -e "$1/$file" ] || { echo "it has no $file"; return; }
    done
}

link_to() {
    if [ -e "$link" ] && [ ! -L "$link" ]; then
        fail "$link is not a link: it was not made by this script" "move it away, or set LIBTORCH=$link if it is a libtorch $VERSION"
    fi
    ln -sfn "$1" "$link"
    say "$VERSION is in place: $1"
    exit 0
}

# A libtorch of the user's own wins, but a wrong one is not silently replaced: cargo would use it, not ours.
if [ -n "${LIBTORCH:-}" ] && [ "$LIBTORCH" != "$link" ]; then
    wrong=$(defect "$LIBTORCH")
    [ -z "$wrong" ] || fail "LIBTORCH=$LIBTORCH cannot be used: $wrong" "unset LIBTORCH to have libtorch $VERSION installed, or point it at one"
    link_to "$(CDPATH='' cd -- "$LIBTORCH" && pwd -P)"
fi

[ -n "$(defect "$link")" ] || { say "$VERSION is in place: $(readlink -f "$link")"; exit 0; }

machine=$(uname -m)
case "$(uname -s)-$machine" in
Linux-x86_64)
    torch=7aa2f9bbc6d4595ba72138026b2074be1233186150e9292865e04b7a63b8c67a
    cudart=7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548
    cupti=4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8
    ;;
Linux-aarch64)
    torch=d91aac77f24082809d2c5a93f52a5f085032740a1ebc9252a7b052ef5a4fddc6
    cudart=ef9bcbe90493a2b9d810e43d249adb3d02e98dd30200d86607d8d02687c43f55
    cupti=796bd679890ee55fb14a94629b698b6db54bcfd833d391d5e94017dd9d7d3151
    ;;
*)
    fail "no libtorch recipe for $(uname -s) on $machine" "install libtorch $VERSION by hand and set LIBTORCH to its directory"
    ;;
esac

home=$cache/libtorch-$VERSION-cpu-$machine
[ -n "$(defect "$home")" ] || link_to "$home"

command -v python3 >/dev/null || fail "python3 is needed to unpack libtorch" "on Debian: apt-get install python3 python3-pip"
python3 -m pip --version >/dev/null 2>&1 || fail "pip is needed to fetch libtorch" "on Debian: apt-get install python3-pip"

mkdir -p "$cache"
work=$(mktemp -d "$cache/libtorch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

say "fetching the wheels torch $VERSION (about 500 MB), nvidia-cuda-runtime and nvidia-cuda-cupti"
# libtorch_cpu.so of the general wheel needs libcudart and libcupti to load, also where there is no GPU.
cat >"$work/requirements.txt" <<EOF
torch==$VERSION --hash=sha256:$torch
nvidia-cuda-runtime==13.0.96 --hash=sha256:$cudart
nvidia-cuda-cupti==13.0.85 --hash=sha256:$cupti
EOF
python3 -m pip download --quiet --disable-pip-version-check --no-cache-dir --no-deps --require-hashes --only-binary=:all: \
    --implementation cp --python-version 3.11 \
    --platform "manylinux_2_28_$machine" --platform "manylinux_2_25_$machine" \
    --platform "manylinux_2_17_$machine" --platform "manylinux2014_$machine" \
    --dest "$work" --requirement "$work/requirements.txt" ||
    fail "pip could not fetch the wheels" "check the pip index in use (pip config list); an index of CPU-only builds has other digests: install libtorch $VERSION by hand and set LIBTORCH"

say "unpacking into $home"
python3 - "$work" <<'EOF'
import pathlib, shutil, sys, zipfile

work = pathlib.Path(sys.argv[1])
tree = work / "tree"
wanted = {"libc10.so", "libtorch_cpu.so", "libgomp.so.1", "libcudart.so.13", "libcupti.so.13"}
# The aarch64 build links its maths libraries dynamically; they lie beside it.
wanted_prefixes = ("libarm_compute", "libnvpl_", "libgfortran", "libopenblas")
for wheel in sorted(work.glob("*.whl")):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            path = pathlib.PurePosixPath(name)
            if name.endswith("/"):
                continue
            if path.parts[:2] == ("torch", "include"):
                target = tree.joinpath("include", *path.parts[2:])
            elif path.name in wanted or (path.parts[:2] == ("torch", "lib") and path.name.startswith(wanted_prefixes)):
                target = tree / "lib" / path.name
            else:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(name) as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink)
missing = wanted - {path.name for path in (tree / "lib").iterdir()}
if missing:
    sys.exit(f"error: the wheels do not hold {', '.join(sorted(missing))}")
(tree / "lib" / "libtorch.so").symlink_to("libtorch_cpu.so")
EOF
echo "$VERSION" >"$work/tree/build-version"

rm -rf "$home"
mv "$work/tree" "$home"
link_to "$home"
