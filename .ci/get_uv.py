"""Puts the pinned uv into a folder, with nothing but Python: `python3 get_uv.py FOLDER VERSION`.

Three ways are tried, because distributions take Python apart: a virtual environment (Debian leaves it out without
`python3-venv`), the pip that is installed beside Python, and a pip of our own, fetched from the package index that pip
is configured for. All go through pip, so that its settings (`PIP_*`, pip.conf) hold. Any Python from 3.8 on will do.
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import urllib.parse
import urllib.request

PIP_WHEEL = "pip-25.3-py3-none-any.whl"
PIP_SHA256 = "9655943313a94722b7774661c21049070f6bbb0a1516bf02f7c8d5d9201514cd"


def main():
    folder, version = sys.argv[1], sys.argv[2]
    wanted = "uv==" + version
    for attempt in (through_environment, through_installed_pip, through_own_pip):
        try:
            attempt(folder, wanted)
        except (OSError, subprocess.CalledProcessError) as error:
            print("  did not work: " + str(error).splitlines()[0], flush=True)
            continue
        print("Installed uv " + version + " in " + folder, flush=True)
        return
    sys.exit(
        "uv " + version + " could not be installed. It needs a connection to the Python package index; on Debian and "
        "Ubuntu `apt-get install python3-venv` gives pip the usual way. Or put a uv of that version at "
        + os.path.join(folder, "bin", "uv")
        + "."
    )


def through_environment(folder, wanted):
    print("Installing " + wanted + " into a virtual environment in " + folder, flush=True)
    subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True, stdout=subprocess.DEVNULL)
    pip_install([os.path.join(folder, "bin", "python"), "-m", "pip"], wanted, [])


def through_installed_pip(folder, wanted):
    print("No virtual environment here: using the pip of " + sys.executable, flush=True)
    pip_install([sys.executable, "-m", "pip"], wanted, ["--target", folder, "--upgrade"])


def through_own_pip(folder, wanted):
    print("No pip either: fetching one from the package index", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        wheel = fetch_pip(scratch)
        pip_install([sys.executable, os.path.join(wheel, "pip")], wanted, ["--target", folder, "--upgrade"])


def pip_install(pip, wanted, options):
    os.environ.setdefault("PIP_ROOT_USER_ACTION", "ignore")
    quiet = ["--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*pip, "install", *quiet, *options, wanted], check=True)


def fetch_pip(scratch):
    page = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/") + "/pip/"
    with urllib.request.urlopen(page, timeout=60) as answer:
        links = re.findall(r'href="([^"]*/' + re.escape(PIP_WHEEL) + r'[^"]*)"', answer.read().decode())
    if not links:
        raise OSError(page + " has no " + PIP_WHEEL)
    with urllib.request.urlopen(urllib.parse.urljoin(page, links[0]), timeout=60) as answer:
        content = answer.read()
    if hashlib.sha256(content).hexdigest() != PIP_SHA256:
        raise OSError(PIP_WHEEL + " is not the one expected: its SHA-256 differs")
    path = os.path.join(scratch, PIP_WHEEL)
    with open(path, "wb") as file:
        file.write(content)
    return path


main()
