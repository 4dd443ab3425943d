#!/usr/bin/env python3
"""Packs programs that are built into wheels, for `pip install`.

    deploy/wheel.py DIRECTORY-OF-PROGRAMS OUT

`rheobase` holds `rheo`; `rheobase-worker` holds `rheo-worker` and the libraries of libtorch that it needs, and wants
`rheobase` of the same version. Nothing is compiled where they are installed. Their tag is the oldest glibc that the
programs and libraries ask for.
"""

import base64
import hashlib
import os
import pathlib
import platform
import re
import subprocess
import sys
import tomllib
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SUMMARY = {
    "rheobase": "Sweeps of recurrent networks whose single neurons have rich input-output curves",
    "rheobase-worker": "The worker of Rheobase, with libtorch",
}
NEEDS = {"rheobase": [], "rheobase-worker": ["rheobase"]}


def fail(text, remedy):
    sys.exit(f"error: {text}\n  help: {remedy}")


def libraries():
    """The libraries of libtorch. A wheel holds no links, and the programs ask for none of their names."""
    libtorch = pathlib.Path(os.environ.get("LIBTORCH") or ROOT / ".libtorch")
    found = sorted(path for path in (libtorch / "lib").glob("*.so*") if not path.is_symlink())
    if not found:
        fail(f"there is no libtorch at {libtorch}", "make libtorch puts it there")
    return found


def tag(files):
    """The tag of a platform that has the glibc that `files` ask for."""
    versions = {(2, 17)}
    for file in files:
        out = subprocess.run(["objdump", "-T", file], check=True, capture_output=True, text=True).stdout
        versions |= {tuple(map(int, found)) for found in re.findall(r"GLIBC_(\d+)\.(\d+)", out)}
    major, minor = max(versions)
    return f"py3-none-manylinux_{major}_{minor}_{platform.machine()}"


class Wheel:
    """A wheel that is being written."""

    def __init__(self, out, name, version, tag):
        self.name, self.version = name, version
        stem = f"{name.replace('-', '_')}-{version}"
        self.data, self.info = f"{stem}.data", f"{stem}.dist-info"
        self.path = out / f"{stem}-{tag}.whl"
        self.zip = zipfile.ZipFile(self.path, "w", zipfile.ZIP_DEFLATED)
        self.record = []
        self.text("WHEEL", f"Wheel-Version: 1.0\nGenerator: rheobase\nRoot-Is-Purelib: false\nTag: {tag}\n")
        needs = "".join(f"Requires-Dist: {other}=={version}\n" for other in NEEDS[name])
        about = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nSummary: {SUMMARY[name]}\n"
        self.text("METADATA", f"{about}License: Apache-2.0\nRequires-Python: >=3.9\n{needs}")

    def text(self, name, text):
        self.add(f"{self.info}/{name}", text.encode(), 0o644)

    def add(self, path, content, mode):
        entry = zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0))
        entry.external_attr = (0o100000 | mode) << 16
        entry.compress_type = zipfile.ZIP_DEFLATED
        self.zip.writestr(entry, content)
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        self.record.append(f"{path},sha256={digest},{len(content)}\n")

    def close(self):
        path = f"{self.info}/RECORD"
        self.zip.writestr(path, "".join(self.record) + f"{path},,\n")
        self.zip.close()
        print(f"{self.path} ({self.path.stat().st_size / 1e6:.0f} MB)")


def main(programs, out):
    version = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
    out.mkdir(parents=True, exist_ok=True)
    for name, program, beside in [
        ("rheobase", "rheo", []),
        ("rheobase-worker", "rheo-worker", libraries()),
    ]:
        program = programs / program
        if not program.is_file():
            fail(f"there is no {program}", "make wheel builds it")
        wheel = Wheel(out, name, version, tag([program, *beside]))
        wheel.add(f"{wheel.data}/scripts/{program.name}", program.read_bytes(), 0o755)
        for library in beside:
            # Where the worker looks for them, beside its own directory: see deploy/install.sh.
            wheel.add(f"{wheel.data}/data/lib/rheobase/{library.name}", library.read_bytes(), 0o755)
        wheel.close()


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
