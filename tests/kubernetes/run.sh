#!/bin/sh
# Starts a control plane of Kubernetes with stand-ins for nodes, gives the chart to it and runs the tests of fleets there.
# Where its programs are not at hand it says so and succeeds.
#
#   RHEO_KUBE_BIN   a directory with kube-apiserver, kube-controller-manager and kube-scheduler; an archive of them beside the
#                   checkout is unpacked otherwise
#   arguments       go to cargo nextest, such as a part of the name of a test
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
cache=${RHEO_CACHE:-$HOME/.cache/rheobase}

skip() {
    echo "skipped: kubernetes: $1" >&2
    exit 0
}

bin=${RHEO_KUBE_BIN:-}
if [ -z "$bin" ]; then
    archive=$(find "$root/../shared/testbeds" -name "kube-*-linux-$(dpkg --print-architecture 2>/dev/null).tar.xz" 2>/dev/null | sort | tail -n 1)
    [ -n "$archive" ] || skip "no kube-apiserver: set RHEO_KUBE_BIN to a directory with it, kube-controller-manager and kube-scheduler"
    bin=$cache/$(basename "$archive" .tar.xz)
    if [ ! -d "$bin" ]; then
        mkdir -p "$bin.new"
        tar -C "$bin.new" -xf "$archive"
        mv "$bin.new" "$bin"
    fi
fi
for program in kube-apiserver kube-controller-manager kube-scheduler; do
    [ -x "$bin/$program" ] || skip "no $program in $bin"
done
for program in etcd kubectl openssl python3; do
    command -v "$program" >/dev/null || skip "no $program: on Debian, apt-get install etcd-server kubernetes-client openssl python3"
done

target=${CARGO_TARGET_DIR:-$root/target}
work=$(mktemp -d)
pid=
end() {
    [ -z "$pid" ] || { kill "$pid" 2>/dev/null && wait "$pid" || true; }
    rm -rf "$work"
}
trap end EXIT
trap 'exit 1' INT TERM

echo "starting a cluster with the programs in $bin"
# Nodes run what was built.
PATH=$target/debug:$PATH python3 "$root/tests/kubernetes/cluster.py" "$bin" "$work/cluster" &
pid=$!
until [ -e "$work/cluster/ready" ]; do
    kill -0 "$pid" 2>/dev/null || { pid=; echo "error: the cluster did not start" >&2; exit 1; }
    sleep 0.2
done

cd "$root"
python3 deploy/kubernetes/render.py --all "$work/rendered"
python3 deploy/kubernetes/render.py --install "$work/cluster/admin.kubeconfig"
export RHEO_TEST_CLUSTER="$work/cluster" RHEO_RENDERED="$work/rendered"
# shellcheck disable=SC2086 # One word or none.
cargo nextest run --locked --workspace --cargo-quiet ${FEATURES:+--features $FEATURES} --test kubernetes --test manifests "$@"
