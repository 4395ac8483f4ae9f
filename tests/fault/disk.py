"""A disk that is full, or fails, under a server and under its store.

What must hold: the server lives and is read while its disk is full, new work is
refused; nothing that was committed is lost; within five seconds of there being
space again the run goes on and new work is taken; and what is there in the end
is what a server makes whose disk was never full. The store alone is tried at
every operation that a disk can refuse (disk_test.cc).
"""

import argparse
import contextlib
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

from fault_server import (
    CLIENT, WATCH_LOG, Server, Table, client, committed, content,
    start_process, submit)

# Its tests of the store; unset: without them.
STORE_TEST = os.environ.get("KVRECALL_DISK_FAULT_TEST")
RECOVERY_SECONDS = 5.0
SAMPLES_A_ROUND = 6


def enter_namespace():
    """Becomes this program again, where it may mount what nobody else sees.

    True: it is there. False: it may not.
    """
    if os.environ.get("KVRECALL_MOUNTS") == "own":
        return True
    unshare = ["unshare", "--mount"]
    if os.geteuid() != 0:
        unshare.append("--map-root-user")
    with tempfile.TemporaryDirectory() as folder:
        mount = [*unshare, "mount", "-t", "tmpfs", "tmpfs", folder]
        try:
            if subprocess.run(mount, capture_output=True).returncode != 0:
                return False
        except FileNotFoundError:
            return False
    os.environ["KVRECALL_MOUNTS"] = "own"
    os.execvp("unshare", [*unshare, sys.executable, *sys.argv])


def wait_for(what, seconds=60):
    """How long it took."""
    start = time.monotonic()
    while not what():
        if time.monotonic() - start > seconds:
            raise SystemExit("waited in vain")
        time.sleep(0.005)
    return time.monotonic() - start


def fill(path, spare):
    """All the room there is but `spare` bytes, or a little less."""
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass
        file.truncate(max(0, file.tell() - spare))


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


def errors(log):
    return [line for line in lines(log) if "[error]" in line]


@contextlib.contextmanager
def small_disk(folder):
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs",
                    str(folder)], check=True)
    try:
        yield folder
    finally:
        # Of a server that still runs, too, where a test has ended early.
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


class Watcher:
    """A client that writes down what it is sent of a run."""

    def __init__(self, server, run, log):
        self.log = log
        self.process = start_process(
            [WATCH_LOG, server.address, run, str(log)],
            stdout=subprocess.DEVNULL)

    def sequences(self):
        return [int(line.split()[0]) for line in lines(self.log)]


def full_disk(folder, disk, options, table):
    samples = options.rounds * SAMPLES_A_ROUND
    calm = Server(folder / "calm.db", delay_ms=0)
    calm.start()
    run = submit(calm, samples, options.seed)
    client(calm, "watch", run, "--json")
    expected = content(client(calm, "export", run))
    calm.stop()

    server = Server(disk / "runs.db", delay_ms=10,
                    extra=["--min-free-disk", "4"], log=folder / "log.txt")
    server.start()
    run = submit(server, samples, options.seed)
    watcher = Watcher(server, run, folder / "watched.txt")
    chance = random.Random(options.seed)
    ballast = disk / "ballast"
    lost = unread = unrefused = 0
    slowest_run = slowest_new = 0.0

    def submit_one():
        return subprocess.run(
            [CLIENT, "submit", "--prompt", "-", "--max-new-tokens", "4",
             "--detach", "--server", server.address], input="One more?", text=True,
            capture_output=True, timeout=60)

    for turn in range(options.rounds):
        start = len(committed(server.database))
        wait_for(lambda: len(committed(server.database))
                 > start + chance.randrange(5, 40))
        fill(ballast, 4096 * chance.randrange(16))
        refused = submit_one()
        unrefused += (refused.returncode == 0
                      or "the server's disk has" not in refused.stderr)
        # Full for as long as it takes to be felt, and longer than the store's
        # own pause.
        wait_for(lambda: errors(server.log))
        before = committed(server.database)
        while True:
            time.sleep(1.5)
            if len(now := committed(server.database)) == len(before):
                break
            before = now
        if server.process.poll() is not None:
            raise SystemExit(f"the server ended: {server.process.returncode}")
        unread += run not in client(server, "runs")
        late = Watcher(server, run, folder / f"late{turn}.txt")
        wait_for(lambda: len(late.sequences()) >= len(before))
        late.process.kill()

        ballast.unlink()
        free = time.monotonic()
        while (new := submit_one()).returncode != 0:
            if time.monotonic() - free > 60:
                raise SystemExit(f"no new work is taken: {new.stderr}")
        slowest_new = max(slowest_new, time.monotonic() - free)
        wait_for(lambda: len(committed(server.database)) > len(before))
        slowest_run = max(slowest_run, time.monotonic() - free)
        after = committed(server.database)
        lost += sum(after.get(s) != e for s, e in before.items())

    watched = watcher.process.wait(timeout=300)
    client(server, "watch", new.stdout.strip(), "--json")
    same = content(client(server, "export", run)) == expected
    end = committed(server.database)
    sequences = watcher.sequences()
    status = server.stop()

    table.row("times that the disk was full", options.rounds)
    table.row("events committed", len(end))
    table.row("committed events lost", lost, "0", lost == 0)
    gaps = sum(s not in end for s in range(1, len(end) + 1))
    table.row("gaps in the sequences", gaps, "0", gaps == 0)
    exact = sequences == sorted(end)
    table.row("each event sent once, in order", "yes" if exact else "no",
              "yes", exact)
    table.row("reads that failed meanwhile", unread, "0", unread == 0)
    table.row("new runs not refused with DISK_LOW", unrefused, "0",
              unrefused == 0)
    table.row("seconds until the run goes on", f"{slowest_run:.2f}",
              f"≤ {RECOVERY_SECONDS:.0f}", slowest_run <= RECOVERY_SECONDS)
    table.row("seconds until new work is taken", f"{slowest_new:.2f}",
              f"≤ {RECOVERY_SECONDS:.0f}", slowest_new <= RECOVERY_SECONDS)
    table.row("content as on a disk never full", "yes" if same else "no",
              "yes", same)
    table.row("exit: server, watcher", (status, watched), "(0, 0)",
              (status, watched) == (0, 0))


def failing_store(folder, options, table):
    report = folder / "store.json"
    done = subprocess.run(
        [STORE_TEST, f"--gtest_output=json:{report}", "--gtest_brief=1"],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "KVRECALL_FAULT_STRIDE": str(options.stride)})
    suites = json.loads(report.read_text())["testsuites"]
    for test in (test for suite in suites for test in suite["testsuite"]):
        if "scenarios" not in test:
            continue
        kind = test["name"].split("/")[-1].replace("_", " ")
        good = "failures" not in test
        if "lasting" not in kind:  # there is nothing to recover from
            table.row(f"store, {kind}: places", test["scenarios"], "–", good)
            continue
        recovery = int(test["recovery_us"]) / 1e6
        table.row(f"store, {kind}: places, seconds",
                  f"{test['scenarios']} {recovery:.3f}",
                  f"≤ {RECOVERY_SECONDS:.0f}", good)
    table.row("store: all its tests, exit", done.returncode, "0",
              done.returncode == 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stride", type=int, default=1)
    options = parser.parse_args()
    may_mount = enter_namespace()
    table = Table()
    with tempfile.TemporaryDirectory(prefix="kvrecall_disk_") as folder:
        folder = pathlib.Path(folder)
        if may_mount:
            with small_disk(folder / "disk") as disk:
                full_disk(folder, disk, options, table)
        else:
            print("skipped: a full disk; this user may not mount one")
        if STORE_TEST:
            failing_store(folder, options, table)
    return table.exit_status()


if __name__ == "__main__":
    sys.exit(main())
