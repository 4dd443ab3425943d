#!/usr/bin/env python3
"""A Kubernetes control plane on loopback, with nodes that run pods as processes.

    cluster.py BIN DIR [NODES]

etcd, kube-apiserver, kube-controller-manager and kube-scheduler are the real ones; BIN holds the last three, etcd is on PATH.
nodes.py plays the nodes. DIR gets admin.kubeconfig, logs and everything else; the file DIR/ready appears when pods can run.
Ports are any that are free. All ends with SIGTERM, Ctrl-C or the death of the parent process, and nothing else is touched.

While it runs, a file DIR/do/stop-NAME or DIR/do/start-NAME ends or starts one of the programs; the file is removed when it is done.
A file DIR/dead/NODE makes a node fail until it is removed.
"""
import ctypes
import os
import secrets
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE = 90


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def die_with_parent():
    os.setsid()
    ctypes.CDLL("libc.so.6").prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def write(path, text):
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)


class Cluster:
    def __init__(self, programs, home, nodes):
        self.home, self.nodes, self.running = home, nodes, {}
        for name in ("log", "certs", "do", "dead", "etcd"):
            os.makedirs(os.path.join(home, name), exist_ok=True)
        etcd, peer, api, controllers, scheduler = free_ports(5)
        self.api, self.token = f"https://127.0.0.1:{api}", secrets.token_hex(16)
        self.etcd = f"http://127.0.0.1:{etcd}"
        at = lambda *parts: os.path.join(home, *parts)
        self.config = at("admin.kubeconfig")
        key = at("certs", "accounts.key")
        subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, stderr=subprocess.DEVNULL)
        write(at("tokens.csv"), f"{self.token},admin,admin,system:masters\n")
        write(at("token"), self.token)
        local = ["--bind-address=127.0.0.1"]
        client = local + [f"--kubeconfig={self.config}", "--leader-elect=false"]
        self.commands = {
            "etcd": ["etcd", f"--data-dir={at('etcd')}", f"--listen-client-urls={self.etcd}", f"--advertise-client-urls={self.etcd}",
                     f"--listen-peer-urls=http://127.0.0.1:{peer}", f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
                     f"--initial-cluster=default=http://127.0.0.1:{peer}", "--unsafe-no-fsync"],
            "kube-apiserver": [f"{programs}/kube-apiserver", *local, f"--secure-port={api}", f"--etcd-servers={self.etcd}",
                               f"--cert-dir={at('certs')}", f"--token-auth-file={at('tokens.csv')}", "--authorization-mode=RBAC",
                               "--service-cluster-ip-range=10.96.0.0/16", f"--service-account-issuer={self.api}",
                               f"--service-account-signing-key-file={key}", f"--service-account-key-file={key}",
                               "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none"],
            "kube-controller-manager": [f"{programs}/kube-controller-manager", *client, f"--secure-port={controllers}",
                                        f"--cert-dir={at('certs', 'controllers')}", f"--service-account-private-key-file={key}",
                                        "--node-monitor-period=1s", "--node-monitor-grace-period=6s"],
            "kube-scheduler": [f"{programs}/kube-scheduler", *client, f"--secure-port={scheduler}", f"--cert-dir={at('certs', 'scheduler')}"],
            "nodes": [sys.executable, os.path.join(HERE, "nodes.py"), self.api, home, str(nodes)],
        }

    def start(self, name):
        if name in self.running and self.running[name].poll() is None:
            return
        with open(os.path.join(self.home, "log", name), "ab") as log:
            self.running[name] = subprocess.Popen(self.commands[name], stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent)

    def stop(self, name):
        process = self.running.pop(name, None)
        if process is None:
            return
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def wait(self, name, condition):
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if self.running[name].poll() is not None or time.monotonic() > deadline:
                log = os.path.join(self.home, "log", name)
                sys.exit(f"{name} did not start: {log}")
            time.sleep(0.1)

    def answers(self, url):
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {self.token}"})
        try:
            with urllib.request.urlopen(request, timeout=5, context=ssl._create_unverified_context()) as answer:
                return answer.read()
        except OSError:
            return None

    def up(self):
        self.start("etcd")
        self.wait("etcd", lambda: self.answers(self.etcd + "/health"))
        self.start("kube-apiserver")
        self.wait("kube-apiserver", lambda: self.answers(self.api + "/readyz"))
        ca = os.path.join(self.home, "certs", "apiserver.crt")
        write(self.config, f"""apiVersion: v1
kind: Config
clusters: [{{name: test, cluster: {{server: "{self.api}", certificate-authority: "{ca}"}}}}]
users: [{{name: admin, user: {{token: "{self.token}"}}}}]
contexts: [{{name: test, context: {{cluster: test, user: admin, namespace: default}}}}]
current-context: test
""")
        for name in ("kube-controller-manager", "kube-scheduler", "nodes"):
            self.start(name)
        account = self.api + "/api/v1/namespaces/default/serviceaccounts/default"
        self.wait("kube-controller-manager", lambda: self.answers(account))
        ready = lambda: (self.answers(self.api + "/api/v1/nodes") or b"").count(b'"KubeletReady"') == self.nodes
        self.wait("nodes", ready)
        write(os.path.join(self.home, "ready"), "")

    def obey(self):
        orders = os.path.join(self.home, "do")
        for order in sorted(os.listdir(orders)):
            verb, _, name = order.partition("-")
            if name in self.commands:
                self.start(name) if verb == "start" else self.stop(name)
                if name == "kube-apiserver" and verb == "start":
                    self.wait(name, lambda: self.answers(self.api + "/readyz"))
            os.remove(os.path.join(orders, order))

    def down(self):
        for name in reversed(list(self.commands)):
            self.stop(name)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    home = os.path.abspath(sys.argv[2])
    os.makedirs(home, exist_ok=True)
    ctypes.CDLL("libc.so.6").prctl(1, signal.SIGTERM)
    cluster = Cluster(os.path.abspath(sys.argv[1]), home, int(sys.argv[3]) if len(sys.argv) > 3 else 3)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        cluster.up()
        while True:
            cluster.obey()
            time.sleep(0.1)
    except KeyboardInterrupt:
        pass
    finally:
        cluster.down()


main()
