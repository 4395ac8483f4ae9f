"""From nothing to a result in fresh Debian roots: the quickstart, and the images of
the Dockerfile. tests/ops/fresh-root.sh says how it is called, and calls it in
namespaces of its own."""

import argparse
import glob
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import time

from container import Container
from dockerfile import Build, Root, run

MIRROR = os.environ.get("KVRECALL_DEBIAN_MIRROR", "http://deb.debian.org/debian")
SUITES = {"12": "bookworm", "13": "trixie"}
CCACHE = "/root/.cache/ccache"


def expect(holds, what):
    if not holds:
        raise SystemExit(f"fresh-root.sh: {what}")


def mebibytes(paths):
    return sum(os.lstat(path).st_size for path in paths) / 2**20


def cpu_seconds():
    """Of all processes that have ended, which a busy machine does not change."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def size_of(folder):
    return mebibytes(os.path.join(f, n) for f, _, names in os.walk(folder)
                     for n in names)


def bootstrap(suite, folder):
    """The smallest Debian that has apt."""
    if os.path.exists(os.path.join(folder, "etc/debian_version")):
        return
    print(f"=== a fresh root of Debian {suite}", flush=True)
    part = folder + ".part"
    shutil.rmtree(part, ignore_errors=True)
    with open(folder + ".log", "wb") as log:
        run(["debootstrap", "--variant=minbase", suite, part, MIRROR],
            stdout=log, stderr=log)
    os.rename(part, folder)


class Figures:
    """What was measured, printed in the end."""

    def __init__(self):
        self.lines = []

    def add(self, line):
        self.lines.append(line)
        print(f"=== {line}", flush=True)


def quickstart(base, folder, source, options, figures):
    """The README's first command, by root, in a root that has nothing."""
    root = Root(folder, [base])
    shutil.copytree(source, root.path + "/src", symlinks=True)
    root.mount_system()
    # By what it is called, apt keeps what it has downloaded.
    before = set(glob.glob(root.path + "/var/cache/apt/archives/*.deb"))
    start, used = time.monotonic(), cpu_seconds()
    environment = {"HOME": "/root", "LANG": "C.UTF-8", "PATH": os.environ["PATH"]}
    log_path = os.path.join(folder, "quickstart.log")
    with open(log_path, "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            ["chroot", root.path, "/src/deploy/quickstart.sh",
             *(["--limit", options.limit] if options.limit else [])],
            env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace")
        built = installed = None
        for line in process.stdout:
            log.write(line)
            if "building (" in line:
                installed = time.monotonic() - start
            if "running the demo" in line:
                built = time.monotonic() - start
            # Packages and compiler runs are in the log.
            if built is not None or line.startswith("quickstart.sh:"):
                print(line, end="", flush=True)
    status = process.wait()
    total = time.monotonic() - start
    expect(status == 0, f"the quickstart ended with {status}; see {log_path}")
    debs = set(glob.glob(root.path + "/var/cache/apt/archives/*.deb")) - before
    with open(log_path, encoding="utf-8") as file:
        said = file.read()
    expect("\npolicy " in said and "quickstart.sh: all is well" in said,
           f"the quickstart printed no result table; see {log_path}")
    figures.add(
        f"Debian {options.debian}, quickstart: {total / 60:.1f} min "
        f"({installed / 60:.1f} packages, {(built - installed) / 60:.1f} compiling, "
        f"{(total - built) / 60:.1f} running; "
        f"{(cpu_seconds() - used) / 60:.1f} of processor time), {mebibytes(debs):.0f} MiB of packages "
        f"downloaded ({len(debs)}), {os.cpu_count()} cores")
    root.unmount()
    return os.path.join(root.upper, CCACHE[1:])


def check_server(container, log):
    """What is promised of the server's image."""
    call = container.call
    expect(call(["kvrecall-server", "--version"])[0] == 0, "no --version")
    status, said = call(container.command + ["--check-config"])
    expect(status == 0 and said.startswith("configuration is good\n"),
           f"--check-config: {said}")
    print(said, end="", flush=True)
    expect(not container.healthy(), "healthy before it was started")
    container.start(log)
    expect(container.wait_until_healthy(120),
           f"the server did not become healthy; see {log}")
    ids = pathlib.Path(f"/proc/{container.main.pid}/status").read_text("utf-8")
    expect("\nUid:\t10001\t10001\t" in ids, "the server does not run as its user")
    status, said = call(["kvrecall-client", "submit", "--task", "demo",
                         "--limit", "3", "--detach"])
    expect(status == 0, f"submit: {said}")
    run_id = said.split()[-1]
    status, said = call(["kvrecall-client", "watch", run_id])
    print(said, end="", flush=True)
    expect(status == 0 and "3 done" in said, "the demo did not end well")
    expect(container.stop() == 0, f"the server ended badly; see {log}")
    expect(not container.healthy(), "healthy after its end")
    database = container.volumes["/data"] + "/kvrecall/kvrecall.db"
    expect(os.path.exists(database), "there is no database in the volume")
    return database, run_id


def check_client(container, database, run_id):
    """The client's image: no server, no libtorch, a report from a file."""
    status, said = container.call(["kvrecall-client", "tasks"])
    expect(status == 0 and "demo" in said, f"tasks: {said}")
    status, said = container.call(["kvrecall-client", "health"])
    expect(status == 3, f"health without a server: {status} {said}")
    shutil.copy(database, os.path.join(container.root.path, "tmp/a.db"))
    os.chmod(os.path.join(container.root.path, "tmp/a.db"), 0o644)
    status, said = container.call(
        ["kvrecall-client", "plot", run_id, "--db", "/tmp/a.db", "--out",
         "/tmp/plots", "--format", "png"])
    plots = glob.glob(container.root.path + "/tmp/plots/*.png")
    expect(status == 0 and plots, f"no figures: {said}")
    print(f"{len(plots)} figures drawn", flush=True)


def images(base, folder, source, ccache, options, figures):
    """Every stage of the Dockerfile, and what comes out, run."""
    suite = SUITES[options.debian]
    os.makedirs(ccache, exist_ok=True)
    build = Build(
        os.path.join(source, "Dockerfile"), source,
        {f"debian:{suite}-slim": base},
        {"DEBIAN": suite, "COMMIT": options.commit, "VARIANT": options.variant},
        folder, {CCACHE: ccache})
    database = run_id = None
    for target in ("server", "client"):
        start = time.monotonic()
        stage = build.run(target)
        # The base's layer is Debian's, which every image shares.
        size = sum(size_of(layer) for layer in stage.layers[:-1])
        figures.add(f"Debian {options.debian}, image {target} ({options.variant}): "
                    f"{(time.monotonic() - start) / 60:.1f} min, {size:.0f} MiB "
                    "beside Debian itself")
        place = os.path.join(folder, target + "-container")
        container = Container(place, stage)
        try:
            if target == "server":
                database, run_id = check_server(container, place + ".log")
            else:
                check_client(container, database, run_id)
        finally:
            container.close()
        print(f"=== image {target}: as promised", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--debian", required=True, choices=SUITES)
    parser.add_argument("--limit", default="")
    parser.add_argument("--only", choices=["quickstart", "images"])
    parser.add_argument("--variant", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--work", required=True)
    parser.add_argument("--source", required=True)
    parser.add_argument("--commit", required=True)
    options = parser.parse_args()
    folder = os.path.join(options.work, "debian-" + options.debian)
    os.makedirs(folder, exist_ok=True)
    base = os.path.join(folder, "base")
    bootstrap(SUITES[options.debian], base)
    figures = Figures()
    ccache = os.path.join(folder, "ccache")
    if options.only != "images":
        shutil.rmtree(os.path.join(folder, "quickstart"), ignore_errors=True)
        made = quickstart(base, os.path.join(folder, "quickstart"),
                          options.source, options, figures)
        # What was compiled once, from nothing and in time that was measured, is
        # not compiled again for the images.
        shutil.rmtree(ccache, ignore_errors=True)
        shutil.copytree(made, ccache)
    if options.only != "quickstart":
        shutil.rmtree(os.path.join(folder, "images"), ignore_errors=True)
        images(base, os.path.join(folder, "images"), options.source, ccache,
               options, figures)
    print()
    for line in figures.lines:
        print(line)


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    main()
