"""From nothing to a result in a fresh Debian: the quickstart, and the images of the
Dockerfile. tests/ops/fresh-root.sh says how it is called, and calls it in
namespaces of its own."""

import argparse
import glob
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

from debian_root import SUITES, bootstrap
from podman import Podman

# As deploy/compose.yaml has it. A network of its own is the loopback.
CONFINED = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges",
            "--tmpfs=/tmp", "--network=none"]


def expect(holds, what):
    if not holds:
        raise SystemExit(f"fresh-root.sh: {what}")


def mebibytes(size):
    return size / 2**20


class Figures:
    """What was measured, printed in the end."""

    def __init__(self):
        self.lines = []

    def add(self, line):
        self.lines.append(line)
        print(f"=== {line}", flush=True)


def cpu_seconds(times):
    """Of all processes that a shell waited for, by what its `times` says, which a
    busy machine does not change."""
    own_and_children = re.findall(r"(\d+)m([\d.]+)s", times)
    return sum(60 * int(m) + float(s) for m, s in own_and_children[2:])


def quickstart(podman, image, folder, source, ccache, options, figures):
    """The README's first command, by root, where there is nothing."""
    checkout, debs = os.path.join(folder, "src"), os.path.join(folder, "debs")
    shutil.copytree(source, checkout, symlinks=True)
    os.makedirs(os.path.join(debs, "partial"))
    start = time.monotonic()
    log_path = folder + ".log"
    with open(log_path, "w", encoding="utf-8") as log:
        process = podman.start(
            "run", "--rm", "--network=host",
            f"--volume={checkout}:/src", f"--volume={ccache}:/root/.cache/ccache",
            # What apt has downloaded, it keeps there.
            f"--volume={debs}:/var/cache/apt/archives", image, "sh", "-c",
            '/src/deploy/quickstart.sh "$@"; status=$?; times; exit $status', "sh",
            *(["--limit", options.limit] if options.limit else []),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, errors="replace")
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
    said = pathlib.Path(log_path).read_text("utf-8")
    expect("\npolicy " in said and "quickstart.sh: all is well" in said,
           f"the quickstart printed no result table; see {log_path}")
    packages = glob.glob(debs + "/*.deb")
    expect(packages, "no packages were downloaded")
    used = cpu_seconds("".join(said.splitlines(True)[-2:]))
    figures.add(
        f"Debian {options.debian}, quickstart: {total / 60:.1f} min "
        f"({installed / 60:.1f} packages, {(built - installed) / 60:.1f} compiling, "
        f"{(total - built) / 60:.1f} running; {used / 60:.1f} of processor time), "
        f"{mebibytes(sum(map(os.path.getsize, packages))):.0f} MiB of packages "
        f"downloaded ({len(packages)}), {os.cpu_count()} cores")


def healthy(podman, name):
    return podman.call("healthcheck", "run", name)[0] == 0


def wait_until_healthy(podman, name, seconds):
    deadline = time.monotonic() + seconds
    while not healthy(podman, name):
        running = podman.inspect("container", name)["State"]["Running"]
        expect(running and time.monotonic() < deadline,
               f"{name} did not become healthy: {podman.call('logs', name)[2]}")
        time.sleep(0.2)


def check_server(podman, image, folder):
    """What is promised of the server's image."""
    expect("kvrecall-server" in podman.must("run", "--rm", *CONFINED, image,
                                            "--version"), "no --version")
    said = podman.must("run", "--rm", *CONFINED, image, "--model", "nano",
                       "--check-config")
    expect(said.startswith("configuration is good\n"), f"--check-config: {said}")
    print(said, end="", flush=True)

    podman.must("run", "--detach", "--name=server", *CONFINED, image)
    wait_until_healthy(podman, "server", 120)
    pid = podman.inspect("container", "server")["State"]["Pid"]
    ids = pathlib.Path(f"/proc/{pid}/status").read_text("utf-8")
    expect("\nUid:\t10001\t10001\t" in ids, "the server does not run as its user")
    expect(re.search(r"\nCapEff:\t0+\n", ids), "the server has capabilities")
    expect("Read-only file system" in podman.call(
        "exec", "--user=0", "server", "touch", "/etc/x")[2],
           "the root can be written to")
    said = podman.must("exec", "server", "kvrecall-client", "submit", "--task",
                       "demo", "--limit", "3", "--detach")
    run_id = said.split()[-1]
    said = podman.must("exec", "server", "kvrecall-client", "watch", run_id)
    print(said, end="", flush=True)
    expect("3 done" in said, "the demo did not end well")

    podman.must("stop", "--time=60", "server")
    state = podman.inspect("container", "server")["State"]
    expect(state["ExitCode"] == 0, f"the server ended with {state['ExitCode']}: "
           f"{podman.call('logs', 'server')[2]}")
    podman.must("start", "server")
    wait_until_healthy(podman, "server", 120)
    expect("3 done" in podman.must("exec", "server", "kvrecall-client", "watch",
                                   run_id), "a restart lost the run")
    podman.must("stop", "--time=60", "server")
    database = os.path.join(folder, "kvrecall.db")
    podman.must("cp", "server:/data/kvrecall/kvrecall.db", database)
    return database, run_id


def check_client(podman, image, database, run_id):
    """The client's image: no server, no libtorch, a report from a file of the user
    who runs it."""
    user = 1234
    folder = os.path.dirname(database)
    for path in (folder, database):
        os.chown(path, user, user)

    def client(*arguments):
        return podman.call("run", "--rm", "--network=none", f"--user={user}",
                           f"--volume={folder}:/data", image, *arguments)

    status, said, errors = client("tasks")
    expect(status == 0 and "demo" in said, f"tasks: {said}{errors}")
    status, _, errors = client("health")
    expect(status == 3, f"health without a server: {status} {errors}")
    said = podman.must("run", "--rm", "--network=none", "--entrypoint=sh", image,
                       "-c", "ls /usr/local/bin /usr/lib/*/")
    expect("kvrecall-client" in said and "kvrecall-server" not in said
           and "libtorch" not in said, "it has more than the client")
    status, _, errors = client(
        "plot", run_id, "--db", os.path.basename(database), "--out", "plots",
        "--format", "png")
    plots = glob.glob(folder + "/plots/*.png")
    expect(status == 0 and plots, f"no figures: {errors}")
    expect(all(os.stat(path).st_uid == user for path in plots),
           "the figures are not the user's")
    print(f"{len(plots)} figures drawn", flush=True)


def images(podman, base, folder, source, ccache, options, figures):
    """The Dockerfile's images, built and run."""
    def log_of(target):
        return f"{folder}.{target}.log"

    def build(target, variant):
        with open(log_of(target), "w", encoding="utf-8") as log:
            return podman.start(
                "build", "--format=docker", "--isolation=chroot",
                "--network=host", f"--volume={ccache}:/root/.cache/ccache",
                f"--build-arg=DEBIAN={SUITES[options.debian]}",
                f"--build-arg=COMMIT={options.commit}",
                # The default is what most will build.
                *([f"--build-arg=VARIANT={variant}"] if variant != "cpu" else []),
                f"--target={target}", f"--tag=kvrecall-test:{target}", source,
                stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT).wait()

    database = run_id = None
    for target in ("server", "client"):
        start = time.monotonic()
        expect(build(target, options.variant) == 0,
               f"the image {target} was not built; see {log_of(target)}")
        image = f"kvrecall-test:{target}"
        # The base's layer is Debian's, which every image shares.
        size = (podman.inspect("image", image)["Size"]
                - podman.inspect("image", base)["Size"])
        variant = f" ({options.variant})" if target == "server" else ""
        figures.add(f"Debian {options.debian}, image {target}{variant}: "
                    f"{(time.monotonic() - start) / 60:.1f} min, "
                    f"{mebibytes(size):.0f} MiB beside Debian itself")
        if target == "server":
            place = os.path.join(folder, "records")
            os.makedirs(place)
            database, run_id = check_server(podman, image, place)
        else:
            check_client(podman, image, database, run_id)
        print(f"=== image {target}: as promised", flush=True)
    expect(build("tools", "gpu") != 0, "there is a variant 'gpu'")
    said = pathlib.Path(log_of("tools")).read_text("utf-8")
    expect("VARIANT=gpu: it is cpu or cuda" in said, "a wrong variant is not named")


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
    root = os.path.join(folder, "base")
    bootstrap(SUITES[options.debian], root)
    store = os.path.join(folder, "podman")
    shutil.rmtree(store, ignore_errors=True)
    podman = Podman(store)
    figures = Figures()
    # What is compiled once, from nothing and in time that is measured, is not
    # compiled again for the images.
    ccache = os.path.join(folder, "ccache")
    try:
        base = f"docker.io/library/debian:{SUITES[options.debian]}-slim"
        podman.import_root(root, base)
        for part, fill in (("quickstart", quickstart), ("images", images)):
            if options.only not in (None, part):
                continue
            place = os.path.join(folder, part)
            shutil.rmtree(place, ignore_errors=True)
            os.makedirs(place)
            if part == "quickstart":
                shutil.rmtree(ccache, ignore_errors=True)
            os.makedirs(ccache, exist_ok=True)
            fill(podman, base, place, options.source, ccache, options, figures)
    finally:
        podman.close()
    print()
    for line in figures.lines:
        print(line)


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    main()
