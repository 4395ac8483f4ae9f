"""The systemd unit at work in a Debian that systemd-nspawn has booted.
tests/ops/systemd.sh says how it is called."""

import argparse
import json
import os
import pathlib
import platform
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

from debian_root import bootstrap
from fault_server import Table

TOP = pathlib.Path(__file__).resolve().parents[2]
UNIT = "kvrecall-server"
ENVIRONMENT = f"/etc/kvrecall/{UNIT}.env"
PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ACCESS = "/var/lib/kvrecall/access"
DEMO = 50  # samples


class Machine:
    """A booted root with a network of its own, which is the loopback."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        self._nspawn = self._leader = None

    def boot(self):
        with open(f"{self.root}.boot.log", "ab") as log:
            self._nspawn = subprocess.Popen(
                ["systemd-nspawn", "--quiet", f"--directory={self.root}",
                 "--machine=kvrecall-test", "--register=no", "--keep-unit",
                 "--private-network",
                 # Without it nspawn keeps processes from locking memory, which
                 # a machine does not, and a library complains.
                 "--capability=CAP_IPC_LOCK", "--boot"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while self._nspawn.poll() is None and time.monotonic() < deadline:
            self._leader = self._first_process()
            if self._leader is not None and self.call(
                    "systemctl", "is-system-running")[1] in (
                        "running", "degraded"):
                return
            time.sleep(0.2)
        raise SystemExit(f"systemd.sh: no boot; see {self.root}.boot.log")

    def _first_process(self):
        """That of the booted system; None while nspawn prepares it, and a command
        would reach the machine's own."""
        children = f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children"
        for child in pathlib.Path(children).read_text("utf-8").split():
            try:
                if all(os.readlink(f"/proc/{child}/ns/{kind}")
                       != os.readlink(f"/proc/self/ns/{kind}")
                       for kind in ("pid", "mnt")):
                    return child
            except FileNotFoundError:
                pass
        return None

    def halt(self):
        self._leader = None
        if self._nspawn is None:
            return
        self._nspawn.terminate()  # an orderly shutdown, by nspawn
        try:
            self._nspawn.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._nspawn.kill()
            self._nspawn.wait()

    def call(self, *argv, user=None, seconds=120, **environment):
        """Exit status, output, and what was said of errors."""
        assert self._leader is not None, "the system is not booted"
        become = [] if user is None else ["runuser", "-u", user, "--"]
        done = subprocess.run(
            ["nsenter", f"--target={self._leader}", "--mount", "--uts", "--ipc",
             "--net", "--pid", "--", "env", "-i", PATH, "LANG=C.UTF-8",
             *(f"{name}={value}" for name, value in environment.items()),
             *become, *argv],
            text=True, timeout=seconds, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        return done.returncode, done.stdout.removesuffix("\n"), done.stderr

    def must(self, *argv, **keywords):
        status, said, errors = self.call(*argv, **keywords)
        if status != 0:
            raise SystemExit(f"systemd.sh: {' '.join(argv)} ended with {status}: "
                             f"{said}{errors}\n{self.journal()}")
        return said

    def shown(self, name):
        """A property of the unit."""
        return self.must("systemctl", "show", "-P", name, UNIT)

    def wait_for(self, name, value, seconds):
        deadline = time.monotonic() + seconds
        while (found := self.shown(name)) != value:
            if time.monotonic() > deadline:
                raise SystemExit(f"systemd.sh: {name} is {found}, not {value}\n"
                                 f"{self.journal()}")
            time.sleep(0.2)

    def journal(self):
        """What the unit's processes wrote, as deploy/README.md reads it."""
        self.call("journalctl", "--sync")
        return self.call("journalctl", "--no-pager", "-o", "cat",
                         f"_SYSTEMD_UNIT={UNIT}.service")[1]

    def options(self, text):
        (self.root / ENVIRONMENT[1:]).write_text(f"KVRECALL_OPTIONS={text}\n",
                                                 "utf-8")

    def client(self, *arguments, **environment):
        """The client, run by somebody."""
        return self.call("kvrecall-client", *arguments, user="nobody",
                         HOME="/tmp", **environment)


def run(*argv, **keywords):
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, **keywords)


def prepare(root):
    """The programs, what they are linked with, and systemd."""
    bootstrap(platform.freedesktop_os_release()["VERSION_CODENAME"], root)
    run("cmake", "--install", "build/release", "--prefix", "/usr/local", cwd=TOP,
        env=dict(os.environ, DESTDIR=root))
    packages = subprocess.run(
        ["deploy/runtime-packages.sh", os.environ["KVRECALL_SERVER_BINARY"],
         os.environ["KVRECALL_CLIENT_BINARY"]],
        cwd=TOP, check=True, text=True, stdout=subprocess.PIPE).stdout
    pathlib.Path(root, "root/packages").write_text(
        packages + "systemd\nsystemd-sysv\ndbus\n", "utf-8")
    shutil.copy(TOP / "deploy/install-deps.sh", root + "/root/")
    print("=== its packages", flush=True)
    with open(root + ".packages.log", "wb") as log:
        subprocess.run(
            ["systemd-nspawn", "--quiet", f"--directory={root}", "--register=no",
             "--keep-unit", "/root/install-deps.sh", "--runtime", "/root/packages",
             "--no-recommends"],
            check=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


def install(machine):
    """What deploy/README.md has the operator do."""
    files = TOP / "deploy/systemd"
    etc = machine.root / "etc"
    (etc / "sysusers.d").mkdir(exist_ok=True)
    shutil.copy(files / "kvrecall.conf", etc / "sysusers.d")
    machine.must("systemd-sysusers")
    shutil.copy(files / f"{UNIT}.service", etc / "systemd/system")
    (etc / "kvrecall").mkdir()
    shutil.copy(files / f"{UNIT}.env", etc / "kvrecall")


def lines_that_are_no_json(text):
    bad = []
    for line in text.splitlines():
        try:
            json.loads(line)
        except ValueError:
            bad.append(line)
    return bad


def submitted(machine, *arguments, **environment):
    """The run that it made."""
    status, said, errors = machine.client("submit", "--task", "demo", "--detach",
                                          *arguments, **environment)
    if status != 0:
        raise SystemExit(f"systemd.sh: submit ended with {status}: {errors}")
    return said.split()[-1]


def undone(machine, run):
    """How many samples of a run are not done, where no server runs."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("kvrecall.db", "kvrecall.db-wal"):
            source = machine.root / "var/lib/kvrecall" / name
            if source.exists():
                shutil.copy(source, folder)
        database = sqlite3.connect(folder + "/kvrecall.db")
        count = database.execute(
            "SELECT COUNT(*) FROM samples JOIN runs ON runs.id = samples.run "
            "WHERE run_id = ? AND samples.state <> 'done'", (run,)).fetchone()[0]
        database.close()
    return count


def is_done(machine, run, samples, **environment):
    status, said, _ = machine.client("watch", run, **environment)
    return status == 0 and f"{samples} done" in said


def check_start(machine, table):
    status, _, errors = machine.call("systemctl", "enable", "--now", UNIT)
    health = machine.client("health")[0]
    table.row("enable --now returns when it serves", f"{status}, {health}", "0, 0",
              (status, health) == (0, 0))
    if status != 0:
        raise SystemExit(f"systemd.sh: {errors}\n{machine.journal()}")
    process = machine.must("cat", f"/proc/{machine.shown('MainPID')}/status")
    user = machine.must("id", "-u", "kvrecall")
    held = all(re.search(pattern, process) for pattern in (
        rf"\nUid:\t{user}\t{user}\t", r"\nCapEff:\t0+\n", r"\nCapBnd:\t0+\n",
        r"\nNoNewPrivs:\t1\n", r"\nSeccomp:\t2\n"))
    table.row("its user, no capabilities, filtered calls",
              "yes" if held else process, "yes", held)
    said = machine.must("stat", "-c", "%U %a", "/var/lib/kvrecall",
                        "/var/lib/kvrecall/kvrecall.db").replace("\n", ", ")
    table.row("owner and mode of the records", said,
              "kvrecall 750, kvrecall 640", said == "kvrecall 750, kvrecall 640")
    done = is_done(machine, submitted(machine, "--limit", "3"), 3)
    table.row("three samples of the demo", "done" if done else "not done", "done",
              done)


def check_kill(machine, table):
    run = submitted(machine, "--fresh")
    machine.must("systemctl", "kill", "--signal=KILL", UNIT)
    start = time.monotonic()
    waiting = undone(machine, run)
    table.row("samples that a kill -9 leaves undone", waiting, "> 0", waiting > 0)
    machine.wait_for("NRestarts", "1", 30)
    machine.wait_for("ActiveState", "active", 30)
    seconds = time.monotonic() - start
    done = is_done(machine, run, DEMO)
    table.row("  serving again after, s", f"{seconds:.1f}",
              "≤ 10", seconds <= 10)
    table.row("  and the run", "done" if done else "not done", "done", done)


def check_access(machine, table):
    as_server = {"user": "kvrecall"}
    machine.must("kvrecall-server", "init", "--access", ACCESS, "--host",
                 "localhost", **as_server)
    token = re.search(r"kvr_[\w-]+", machine.must(
        "kvrecall-server", "token", "add", "alice", "--access", ACCESS, "--scope",
        "submit", **as_server))[0]
    shutil.copy(f"{machine.root}{ACCESS}/ca.crt", machine.root / "etc/kvrecall")
    os.chmod(machine.root / "etc/kvrecall/ca.crt", 0o644)
    machine.options(f"--model nano --access {ACCESS} --listen 0.0.0.0:50551 "
                    "--metrics 127.0.0.1:9464")
    machine.must("systemctl", "restart", UNIT)
    encrypted = {"KVRECALL_CA": "/etc/kvrecall/ca.crt"}
    status, _, errors = machine.client("submit", "--task", "demo", "--limit", "1",
                                       **encrypted)
    refused = status != 0 and "token" in errors
    encrypted["KVRECALL_TOKEN"] = token
    done = is_done(machine, submitted(machine, "--fresh", "--limit", "1",
                                      **encrypted), 1, **encrypted)
    table.row("with TLS: without a token, with one",
              f"{'refused' if refused else f'{status} {errors}'}, "
              f"{'done' if done else 'not done'}", "refused, done",
              refused and done)
    bad = lines_that_are_no_json(machine.journal())
    table.row("lines of the journal that are no JSON", "; ".join(bad) or "none",
              "none", not bad)


def check_mistakes(machine, table):
    machine.options("--model nano --no-such-option")
    status = machine.call("systemctl", "restart", UNIT)[0]
    machine.wait_for("ActiveState", "failed", 10)
    said = machine.journal().splitlines()[-1]
    restarts = machine.shown("NRestarts")
    table.row("a wrong option: start, restarts", f"{status}, {restarts}", "1, 0",
              (status, restarts) == (1, "0"))
    named = "--no-such-option" in said
    table.row("  and its last line", "names it" if named else said, "names it",
              named)


def check_stop(machine, table):
    machine.options("--model nano")
    machine.must("systemctl", "reset-failed", UNIT)
    machine.must("systemctl", "start", UNIT)
    run = submitted(machine, "--fresh")
    start = time.monotonic()
    status = machine.call("systemctl", "stop", UNIT)[0]
    seconds = time.monotonic() - start
    result = machine.shown("Result")
    waiting = undone(machine, run)
    table.row("samples that a stop leaves in the queue", waiting, "> 0", waiting > 0)
    table.row("  status, result, s",
              f"{status}, {result}, {seconds:.1f}", "0, success, ≤ 35",
              status == 0 and result == "success" and seconds <= 35)
    machine.halt()
    machine.boot()
    machine.wait_for("ActiveState", "active", 30)
    done = is_done(machine, run, DEMO)
    table.row("it starts with the system, and the run", "done" if done else
              "not done", "done", done)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--keep", action="store_true")
    keep = parser.parse_args().keep
    root = str(TOP / "build/ops/systemd")
    shutil.rmtree(root, ignore_errors=True)
    os.makedirs(os.path.dirname(root), exist_ok=True)
    prepare(root)
    table = Table()
    machine = Machine(root)
    try:
        machine.boot()
        install(machine)
        check_start(machine, table)
        check_kill(machine, table)
        check_access(machine, table)
        check_mistakes(machine, table)
        check_stop(machine, table)
    finally:
        machine.halt()
        if not keep:
            shutil.rmtree(root)
    return table.exit_status()


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    sys.exit(main())
