"""The smallest Debian that has apt, in a folder."""

import os
import shutil
import subprocess

MIRROR = os.environ.get("KVRECALL_DEBIAN_MIRROR", "http://deb.debian.org/debian")
SUITES = {"12": "bookworm", "13": "trixie"}


def bootstrap(suite, folder):
    """Makes it, unless it is there. What debootstrap says goes to FOLDER.log."""
    if os.path.exists(os.path.join(folder, "etc/debian_version")):
        return
    print(f"=== a fresh root of Debian {suite}", flush=True)
    part = folder + ".part"
    shutil.rmtree(part, ignore_errors=True)
    with open(folder + ".log", "wb") as log:
        subprocess.run(["debootstrap", "--variant=minbase", suite, part, MIRROR],
                       check=True, stdout=log, stderr=log)
    os.rename(part, folder)
