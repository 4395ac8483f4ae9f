"""deploy/compose.yaml by a Docker daemon of its own. tests/ops/compose.sh says how it
is called."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

from debian_root import bootstrap
from fault_server import Table

TOP = pathlib.Path(__file__).resolve().parents[2]
CLIENT = os.environ["KVRECALL_CLIENT_BINARY"]
COMPOSE = os.environ["KVRECALL_COMPOSE"]
SAMPLES = 5
# What the official image says of itself beside its files: its user, its program
# and its volume.
PROMETHEUS = """\
FROM debian:bookworm-slim
RUN apt-get update -q && apt-get install -y -q --no-install-recommends prometheus
RUN install -d -o 65534 -g 65534 /prometheus
USER 65534
VOLUME ["/prometheus"]
ENTRYPOINT ["/usr/bin/prometheus"]
"""


class Docker:
    """A daemon with its data in `folder`, which must be new, from start to close."""

    def __init__(self, folder):
        self._folder = folder
        self._run = tempfile.TemporaryDirectory(prefix="kvrecall-docker-")
        self._daemon = None
        # What is built and asked is what a newcomer has; nothing of the caller's.
        self.environment = {
            name: value for name, value in os.environ.items()
            if not name.startswith(("KVRECALL_", "COMPOSE_", "DOCKER_"))}
        self.environment["DOCKER_HOST"] = f"unix://{self._run.name}/docker.sock"

    def start(self):
        os.makedirs(self._folder)
        with open(f"{self._folder}.log", "wb") as log:
            self._daemon = subprocess.Popen(
                ["dockerd", "--data-root", self._folder, "--exec-root",
                 self._run.name + "/exec", "--pidfile", self._run.name + "/pid",
                 "--host", self.environment["DOCKER_HOST"]],
                stdout=log, stderr=log, start_new_session=True)
        wait_for(f"Docker (see {self._folder}.log)", 60,
                 lambda: self.call("docker", "version")[0] == 0)

    def call(self, *argv, seconds=3600, **keywords):
        """Exit status, output, and what was said of errors."""
        done = subprocess.run(argv, env=self.environment, text=True, check=False,
                              timeout=seconds, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, **keywords)
        return done.returncode, done.stdout, done.stderr

    def must(self, *argv, **keywords):
        """The output; an error unless it ended with 0."""
        status, said, errors = self.call(*argv, **keywords)
        if status != 0:
            raise SystemExit(f"compose.sh: {' '.join(argv)} ended with {status}: "
                             f"{(said + errors)[-3000:]}")
        return said

    def compose(self, *arguments):
        return self.must(COMPOSE, "-f", str(TOP / "deploy/compose.yaml"),
                         *arguments)

    def inspect(self, service):
        """What Docker knows of a service's container."""
        container = self.compose("ps", "--all", "--quiet", service).strip()
        return json.loads(self.must("docker", "inspect", container))[0]

    def import_root(self, root, name):
        with subprocess.Popen(["tar", "-C", root, "-c", "."],
                              stdout=subprocess.PIPE) as tar:
            status = self.call("docker", "import", "-", name, stdin=tar.stdout)[0]
            tar.stdout.close()  # or tar would wait for who reads
        if tar.returncode != 0 or status != 0:
            raise SystemExit(f"compose.sh: {root} did not become {name}")

    def close(self):
        if self._daemon is not None:
            try:
                self.compose("down", "--volumes")
            finally:
                self._daemon.terminate()
                try:
                    self._daemon.wait(timeout=60)
                except subprocess.TimeoutExpired:
                    self._daemon.kill()
                    self._daemon.wait()
                self.call("ip", "link", "delete", "docker0")
        self._run.cleanup()


def client(docker, *arguments):
    """The client of this machine, as a newcomer calls it."""
    return docker.call(CLIENT, *arguments, seconds=120)


def prometheus(path, **parameters):
    """What Prometheus answers; {} while it does not."""
    url = f"http://127.0.0.1:9090/api/v1/{path}?" + urllib.parse.urlencode(parameters)
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return json.load(reply)["data"]
    except OSError:
        return {}


def asked(expression):
    """The value that Prometheus has, or None."""
    result = prometheus("query", query=expression).get("result")
    return float(result[0]["value"][1]) if result else None


def wait_for(what, seconds, holds):
    """Seconds until it held."""
    start = time.monotonic()
    while not holds():
        if time.monotonic() - start > seconds:
            raise SystemExit(f"compose.sh: {what}: not within {seconds} s")
        time.sleep(0.2)
    return time.monotonic() - start


def check(docker, table):
    start = time.monotonic()
    docker.compose("build", "kvrecall")
    table.row("image built by Docker, min", f"{(time.monotonic() - start) / 60:.1f}")

    docker.compose("up", "--detach", "kvrecall", "prometheus")
    seconds = wait_for(
        "healthy", 60,
        lambda: docker.inspect("kvrecall")["State"]["Health"]["Status"] == "healthy")
    table.row("from up to healthy, s", f"{seconds:.0f}")
    ports = {binding["HostIp"]
             for service in ("kvrecall", "prometheus") for bindings in
             docker.inspect(service)["NetworkSettings"]["Ports"].values()
             for binding in bindings or []}
    table.row("addresses of this machine that it listens on", ", ".join(ports),
              "127.0.0.1", ports == {"127.0.0.1"})

    status, said, errors = client(docker, "submit", "--task", "demo", "--limit",
                                  str(SAMPLES), "--detach")
    if status != 0:
        raise SystemExit(f"compose.sh: submit ended with {status}: {errors}")
    run = said.split()[-1]

    def run_is_done():
        status, said, _ = client(docker, "watch", run)
        return status == 0 and f"{SAMPLES} done" in said

    done = run_is_done()
    table.row("the demo, by this machine's client", "done" if done else "not done",
              "done", done)
    counted = 'sum(kvrecall_samples_total{outcome=~"ok|length"})'
    seconds = wait_for(f"{counted} in Prometheus", 30,
                       lambda: asked(counted) == SAMPLES)
    table.row("its samples in Prometheus after, s", f"{seconds:.0f}", "≤ 5",
              seconds <= 5)
    rules = [rule for group in prometheus("rules").get("groups", [])
             for rule in group["rules"]]
    wrong = [rule["name"] for rule in rules
             if rule["health"] == "err" or rule.get("state", "inactive") != "inactive"]
    table.row("rules; in error or alerting", f"{len(rules)}; {len(wrong)}", "> 9; 0",
              len(rules) > 9 and not wrong)

    status, said, errors = client(docker, "submit", "--task", "demo", "--fresh",
                                  "--detach")
    if status != 0:
        raise SystemExit(f"compose.sh: submit ended with {status}: {errors}")
    start = time.monotonic()
    docker.compose("stop", "kvrecall")
    seconds = time.monotonic() - start
    state = docker.inspect("kvrecall")["State"]
    table.row("stop under a run: exit status, s",
              f"{state['ExitCode']}, {seconds:.0f}", "0, ≤ 35",
              state["ExitCode"] == 0 and seconds <= 35)
    docker.compose("down")  # the containers go, the volumes stay
    docker.compose("up", "--detach", "kvrecall")
    wait_for("healthy again", 60, lambda: client(docker, "health")[0] == 0)
    done = run_is_done()
    table.row("the run, after down and up", "there" if done else "lost", "there",
              done)


def main():
    work = TOP / "build/ops/compose"
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(work)
    base = str(work / "debian")
    bootstrap("bookworm", base)
    table = Table()
    docker = Docker(str(work / "docker"))
    try:
        docker.start()
        docker.import_root(base, "debian:bookworm-slim")
        docker.must("docker", "build", "--tag=prom/prometheus:v3.5.0", "-",
                    input=PROMETHEUS)
        check(docker, table)
    finally:
        docker.close()
    # Only what went well: of the rest, logs are left, and mounts may be.
    shutil.rmtree(work)
    return table.exit_status()


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    sys.exit(main())
