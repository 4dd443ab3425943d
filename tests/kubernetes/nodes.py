#!/usr/bin/env python3
"""Nodes whose pods are processes of this machine: what is left of a kubelet without containers.

    nodes.py API DIR COUNT

A pod that the scheduler has bound to one of our nodes is run: the command, arguments and variables of its first container. Its
status goes the way a kubelet has it, from Pending over Running to Succeeded or Failed, with exit code, signal and, where the pod
asks for it, the end of its log. A deleted pod gets SIGTERM, its grace period, SIGKILL, and then its object is removed.

Volumes are directories: words of the command and of variables that begin with a mount path lead to them. Secrets are written
there and kept current, and a pod waits for one that is missing. `registry.test/...` stands for images that can be pulled, of which
`registry.test/empty` has no programs; pods with others wait as for an image that cannot be. Not played: images themselves, users, limits of resources, probes, init
containers, networks. A file DIR/dead/NODE makes a node fail: its processes die, and it is silent until the file is removed.
"""
import base64
import json
import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request

API, HOME, COUNT = sys.argv[1], sys.argv[2], int(sys.argv[3])
TOKEN = open(os.path.join(HOME, "token")).read().strip()
TLS = ssl._create_unverified_context()
NODES = [f"node{number + 1}" for number in range(COUNT)]
CAPACITY = {"cpu": "4", "memory": "16Gi", "pods": "110"}
PULLABLE = "registry.test/"
MERGE, STRATEGIC = "application/merge-patch+json", "application/strategic-merge-patch+json"


def call(method, path, body=None, kind="application/json"):
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": kind, "Accept": "application/json"}
    request = urllib.request.Request(API + path, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, context=TLS, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, {}


def now(fraction=""):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + fraction + "Z"


def join(node):
    call("POST", "/api/v1/nodes", {"metadata": {"name": node, "labels": {"kubernetes.io/hostname": node, "kubernetes.io/os": "linux"}}})
    report(node)


def report(node):
    """Says that a node is ready; said again and again, because it counts as unknown after every silence."""
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now()}
    status = {"capacity": CAPACITY, "allocatable": CAPACITY, "conditions": [ready], "addresses": [{"type": "Hostname", "address": node}]}
    call("PATCH", f"/api/v1/nodes/{node}/status", {"status": status}, STRATEGIC)


def beat(node):
    leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    renewed = {"holderIdentity": node, "leaseDurationSeconds": 6, "renewTime": now(".000000")}
    code, _ = call("PATCH", f"{leases}/{node}", {"spec": renewed}, MERGE)
    if code == 404:
        call("POST", leases, {"metadata": {"name": node}, "spec": renewed})


class Running:
    """A pod of ours that has been started, or waits for what it needs."""

    def __init__(self, pod):
        self.meta, self.spec = pod["metadata"], pod["spec"]
        self.container = self.spec["containers"][0]
        self.node, self.namespace = self.spec["nodeName"], self.meta["namespace"]
        self.path = f"/api/v1/namespaces/{self.namespace}/pods/{self.meta['name']}"
        self.home = os.path.join(HOME, "pods", self.meta["uid"])
        self.process = self.kill_at = self.began = self.said = None
        self.secrets_at = 0

    def say(self, phase, state):
        """Writes the status, unless it was said before."""
        if (phase, state) == self.said:
            return
        ready = "True" if phase == "Running" else "False"
        conditions = [{"type": kind, "status": value, "lastTransitionTime": now()}
                      for kind, value in (("Initialized", "True"), ("Ready", ready), ("ContainersReady", ready))]
        container = {"name": self.container["name"], "image": self.container["image"], "imageID": "", "restartCount": 0,
                     "ready": phase == "Running", "state": state}
        status = {"phase": phase, "conditions": conditions, "containerStatuses": [container], "startTime": self.began or now(),
                  "hostIP": "127.0.0.1", "podIP": "127.0.0.1"}
        code, _ = call("PATCH", self.path + "/status", {"metadata": {"uid": self.meta["uid"]}, "status": status}, STRATEGIC)
        if code == 200:
            self.said = (phase, state)

    def wait(self, reason, message=""):
        self.say("Pending", {"waiting": {"reason": reason, "message": message}})

    def volume(self, volume):
        """The directory of a volume; none as long as it cannot be made."""
        place = os.path.join(self.home, "volumes", volume["name"])
        os.makedirs(place, exist_ok=True)
        if "secret" in volume:
            code, secret = call("GET", f"/api/v1/namespaces/{self.namespace}/secrets/{volume['secret']['secretName']}")
            if code != 200:
                return None
            data = secret.get("data") or {}
            items = volume["secret"].get("items") or [{"key": key, "path": key} for key in data]
            for item in items:
                if item["key"] not in data:
                    return None
                path = os.path.join(place, item["path"])
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path + ".new", "wb") as file:
                    file.write(base64.b64decode(data[item["key"]]))
                os.rename(path + ".new", path)
        elif "persistentVolumeClaim" in volume:
            place = os.path.join(HOME, "claims", self.namespace, volume["persistentVolumeClaim"]["claimName"])
            os.makedirs(place, exist_ok=True)
        return place

    def mounts(self):
        """Directories by mount path; none as long as one is missing."""
        made = {volume["name"]: self.volume(volume) for volume in self.spec.get("volumes") or []}
        mounts = {one["mountPath"]: made.get(one["name"]) for one in self.container.get("volumeMounts") or []}
        return None if None in mounts.values() else mounts

    def field(self, path):
        found = {"metadata": self.meta, "spec": self.spec}
        for key in path.split("."):
            found = found.get(key) or {} if isinstance(found, dict) else {}
        return found if isinstance(found, str) else ""

    def start(self):
        if not self.container["image"].startswith(PULLABLE):
            self.wait("ImagePullBackOff" if self.said else "ErrImagePull", f"Back-off pulling image \"{self.container['image']}\"")
            return
        mounts = self.mounts()
        if mounts is None:
            self.wait("ContainerCreating")
            return

        def placed(word):
            for path, directory in mounts.items():
                if word == path or word.startswith(path + "/"):
                    return directory + word[len(path):]
            return word

        programs = "/nonexistent" if self.container["image"].startswith(PULLABLE + "empty") else os.environ["PATH"]
        variables = {"PATH": programs, "HOME": self.home, "TMPDIR": placed("/tmp"), "HOSTNAME": self.meta["name"]}
        for one in self.container.get("env") or []:
            source = (one.get("valueFrom") or {}).get("fieldRef")
            variables[one["name"]] = self.field(source["fieldPath"]) if source else placed(one.get("value") or "")
        words = [placed(word) for word in (self.container.get("command") or []) + (self.container.get("args") or [])]
        with open(os.path.join(self.home, "log"), "ab") as log:
            try:
                self.process = subprocess.Popen(words, env=variables, cwd=self.home, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
            except OSError as error:
                log.write(f"{error}\n".encode())
                self.process = subprocess.Popen(["sh", "-c", "exit 127"])
        self.began = now()
        self.say("Running", {"running": {"startedAt": self.began}})

    def signal(self, number):
        if self.process is not None and self.process.poll() is None:
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                pass

    def last_words(self):
        with open(os.path.join(self.home, "log"), "rb") as log:
            return log.read()[-2048:].decode(errors="replace")

    def end(self):
        code = self.process.returncode
        ended = {"exitCode": 128 - code if code < 0 else code, "reason": "Error" if code else "Completed",
                 "startedAt": self.began, "finishedAt": now()}
        if code < 0:
            ended["signal"] = -code
        if code and self.container.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            ended["message"] = self.last_words()
        if not self.said or self.said[0] == "Running":
            self.say("Failed" if code else "Succeeded", {"terminated": ended})

    def step(self, pod):
        """Returns whether the pod is gone."""
        going = pod["metadata"].get("deletionTimestamp")
        if self.process is None:
            if not going:
                self.start()
                return False
        elif self.process.poll() is None:
            self.say("Running", {"running": {"startedAt": self.began}})
            if going and self.kill_at is None:
                self.signal(signal.SIGTERM)
                self.kill_at = time.monotonic() + (pod["metadata"].get("deletionGracePeriodSeconds") or 0)
            if self.kill_at is not None and time.monotonic() > self.kill_at:
                self.signal(signal.SIGKILL)
            if time.monotonic() - self.secrets_at > 2:
                self.secrets_at = time.monotonic()
                self.mounts()
            return False
        else:
            self.end()
        if going:
            code, _ = call("DELETE", self.path, {"gracePeriodSeconds": 0, "preconditions": {"uid": self.meta["uid"]}})
            return code in (200, 404, 409)
        return False


def step(running):
    dead = {node for node in NODES if os.path.exists(os.path.join(HOME, "dead", node))}
    for uid in [uid for uid, one in running.items() if one.node in dead]:
        running.pop(uid).signal(signal.SIGKILL)
    _, listed = call("GET", "/api/v1/pods?fieldSelector=spec.nodeName!=")
    pods = {pod["metadata"]["uid"]: pod for pod in listed.get("items") or []}
    for uid in [uid for uid in running if "items" in listed and uid not in pods]:
        # Somebody removed it by force.
        running.pop(uid).signal(signal.SIGKILL)
    for uid, pod in pods.items():
        if pod["spec"]["nodeName"] not in NODES or pod["spec"]["nodeName"] in dead:
            continue
        if uid not in running:
            if pod["status"].get("phase") in ("Succeeded", "Failed") and not pod["metadata"].get("deletionTimestamp"):
                continue
            if pod["status"].get("phase") == "Running" or pod["metadata"].get("deletionTimestamp"):
                # Its node died under it, or it never began.
                call("DELETE", f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}",
                     {"gracePeriodSeconds": 0, "preconditions": {"uid": uid}})
                continue
            running[uid] = Running(pod)
            os.makedirs(running[uid].home, exist_ok=True)
        if running[uid].step(pod):
            running.pop(uid)
    return dead


def main():
    running, dead, beaten = {}, set(), 0.0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        for node in NODES:
            join(node)
        while True:
            try:
                if time.monotonic() - beaten > 1.5:
                    for node in NODES:
                        if node not in dead:
                            beat(node)
                            report(node)
                    beaten = time.monotonic()
                dead = step(running)
            except (OSError, ValueError) as error:
                # The API server is away. Pods run on, as they do on real nodes.
                print(now(), repr(error), flush=True)
                time.sleep(0.5)
            time.sleep(0.15)
    finally:
        for one in running.values():
            one.signal(signal.SIGKILL)


main()
