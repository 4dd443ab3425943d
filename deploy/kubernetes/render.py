#!/usr/bin/env python3
"""Renders the chart with Helm's own engine, which `deploy/tools.sh helm` installs from a Python wheel.

    render.py             the plain manifests are the chart with its default values: fails where they are not
    render.py --bless     writes them
    render.py --all DIR   writes the chart with several sets of values to DIR
    render.py --install KUBECONFIG   has the server check each of these, and really installs and removes one
"""
import difflib
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.environ.get("RHEO_CACHE", os.path.expanduser("~/.cache/rheobase")), "tools", "helm"))
import helm_python  # noqa: E402

HEAD = "# The chart with its default values; `make bless` writes this file.\n"

# What people change, so that every branch of the templates is rendered. Pools need a coordinator that launches them.
VARIANTS = {
    "plain": {},
    "pools": {"pools": [
        {"name": "cpu", "max": 10},
        {"name": "gpu", "max": 4, "min": 1, "sweep": "big", "cpus": 4, "memory": "16Gi", "gpus": 1, "memoryMb": 12000, "image": "rheo-worker-cuda:0.1.0",
         "nodeSelector": {"cloud.google.com/gke-spot": "true"}, "tolerations": ["nvidia.com/gpu", "cloud.google.com/gke-spot=true:NoSchedule"],
         "priorityClass": "low", "dataClaim": "mnist", "data": "/data", "grace": 300, "idleTimeout": 120}]},
    "own-secrets": {"tls": {"existingSecret": "cert"}, "tokens": {"existingSecret": "tokens"}, "pools": [{"name": "cpu", "max": 1}]},
    "public-ca": {"tls": {"existingSecret": "cert", "publicCA": True}, "service": {"type": "LoadBalancer", "names": ["sweeps.example.org"]}},
    "placed": {"nodeSelector": {"disk": "fast"}, "tolerations": [{"key": "a", "operator": "Exists"}], "priorityClass": "high",
               "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                   {"weight": 1, "preference": {"matchExpressions": [{"key": "zone", "operator": "Exists"}]}}]}},
               "annotations": {"a": "b"}, "args": ["--lease", "60"], "imagePullSecrets": ["pull"],
               "state": {"storageClass": "fast", "size": "100Gi"}, "service": {"annotations": {"a": "b"}},
               "serviceAccount": {"annotations": {"a": "b"}, "workerAnnotations": {"c": "d"}},
               "podDisruptionBudget": {"enabled": True, "maxUnavailable": 1},
               "networkPolicy": {"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "workerEgress": [{"ports": [{"port": 443}]}]}},
    "no-network-policy": {"networkPolicy": {"enabled": False}},
}


def rendered(values):
    """The text of each template that gives objects, by its name."""
    with helm_python.Chart.load(os.path.join(HERE, "chart")) as chart:
        files = chart.render(values=values, name="rheo", namespace="rheobase")
    objects = {os.path.basename(path): text.strip() + "\n" for path, text in files.items()}
    return {name: text for name, text in objects.items() if name.endswith(".yaml") and text.strip()}


def plain():
    namespace = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: rheobase\n"
    return {name: HEAD + text for name, text in {"namespace.yaml": namespace, **rendered({})}.items()}


def install(kubeconfig):
    """What a server says to the chart, with the versions of objects that it has."""
    with helm_python.Chart.load(os.path.join(HERE, "chart")) as chart, \
            helm_python.Config(kubeconfig_path=kubeconfig, namespace="rheobase") as cluster:
        cluster.install(chart, "rheo", {}, namespace="rheobase", create_namespace=True)
        cluster.uninstall("rheo")
        for name, values in VARIANTS.items():
            release = cluster.install(chart, "rheo", values, namespace="rheobase", dry_run="server")
            print(f"chart: the server takes `{name}`: {release['manifest'].count('kind: ')} objects")


def main():
    lint = helm_python.lint(os.path.join(HERE, "chart"))
    findings = [one for one in lint["messages"] if one["severity"] > 1] + lint["errors"]
    if findings:
        sys.exit(f"helm lint: {findings}")
    home = os.path.join(HERE, "manifests")
    if sys.argv[1:2] == ["--all"]:
        os.makedirs(sys.argv[2], exist_ok=True)
        for name, values in VARIANTS.items():
            with open(os.path.join(sys.argv[2], name + ".yaml"), "w") as file:
                file.write("---\n".join(rendered(values).values()))
        return
    wanted = plain()
    if sys.argv[1:2] == ["--install"]:
        return install(sys.argv[2])
    if "--bless" in sys.argv:
        os.makedirs(home, exist_ok=True)
        for name in set(os.listdir(home)) - set(wanted):
            os.remove(os.path.join(home, name))
        for name, text in wanted.items():
            with open(os.path.join(home, name), "w") as file:
                file.write(text)
        return
    found = {name: open(os.path.join(home, name)).read() for name in os.listdir(home)}
    for name in sorted(set(found) | set(wanted)):
        lines = [found.get(name, "").splitlines(), wanted.get(name, "").splitlines()]
        difference = list(difflib.unified_diff(*lines, name, "the chart", lineterm=""))
        if difference:
            sys.exit("\n".join(difference) + "\nerror: the plain manifests are not the chart: make bless")
    print(f"chart: {len(wanted)} manifests are as the chart has them")


main()
