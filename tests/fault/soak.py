"""A server among clients that come, crash and go, for minutes or for days.

What must hold: the same process all the time; its memory and its descriptors
stay what they were once it was warm; its write-ahead log stays bounded; all runs
that were not cancelled end well, without a gap in their events.
"""

import argparse
import pathlib
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

from fault_server import (
    CLIENT, WATCH_LOG, Server, Table, client, start_process, submit)

SAMPLES = 6
WARM = 0.25  # of the time, after which memory is looked at
LOG_MIB = 64 + 16  # what the log shrinks to, and what is on its way


def resident_kib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    return 0


def descriptors(pid):
    return len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))


class Soak:
    def __init__(self, server, folder, seed):
        self.server = server
        self.folder = folder
        self.random = random.Random(seed)
        self.runs = []
        self.cancelled = set()
        self.watchers = []
        self.memory = []  # (seconds, KiB)
        self.log_bytes = 0

    def look(self, start):
        pid = self.server.process.pid
        self.memory.append((time.monotonic() - start, resident_kib(pid)))
        wal = pathlib.Path(f"{self.server.database}-wal")
        if wal.exists():
            self.log_bytes = max(self.log_bytes, wal.stat().st_size)

    def round(self, number):
        run = submit(self.server, SAMPLES, number)
        self.runs.append(run)
        for kind in range(3):
            log = self.folder / f"watch{number}_{kind}.txt"
            self.watchers.append((start_process(
                [WATCH_LOG, self.server.address, run, str(log)],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL), log))
        if self.random.random() < 0.2:
            client(self.server, "cancel", run)
            self.cancelled.add(run)
        # Clients crash: watchers are killed, some of them at once.
        while len(self.watchers) > 12 or (
                self.watchers and self.random.random() < 0.4):
            watcher, log = self.watchers.pop(
                self.random.randrange(len(self.watchers)))
            watcher.kill()
            watcher.wait()
            log.unlink(missing_ok=True)
        start_process([CLIENT, "export", run, "--server", self.server.address],
                      stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL).kill()

    def finish(self):
        """Ends the watchers and waits for the runs; how many ended well."""
        for watcher, _ in self.watchers:
            watcher.kill()
            watcher.wait()
        for run in self.runs:
            if run not in self.cancelled:
                client(self.server, "watch", run, "--json")


def growth_kib_an_hour(memory, seconds):
    """The slope of least squares, once warm."""
    points = [p for p in memory if p[0] >= WARM * seconds]
    x = statistics.fmean(p[0] for p in points)
    y = statistics.fmean(p[1] for p in points)
    over = sum((p[0] - x) ** 2 for p in points)
    return 3600 * sum((p[0] - x) * (p[1] - y) for p in points) / over


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    seconds = 60 * options.minutes
    table = Table()
    with tempfile.TemporaryDirectory(prefix="kvrecall_soak_") as name:
        folder = pathlib.Path(name)
        server = Server(folder / "soak.db", delay_ms=1)
        server.start()
        pid = server.process.pid
        soak = Soak(server, folder, options.seed)
        start = time.monotonic()
        before = None
        number = 0
        while time.monotonic() - start < seconds:
            soak.round(number)
            soak.look(start)
            number += 1
            if before is None and time.monotonic() - start > WARM * seconds:
                before = len(soak.memory) - 1
        soak.finish()
        time.sleep(1)  # what was cut is noticed
        open_now = descriptors(pid)
        alive = server.process.poll() is None
        status = server.stop()
        with sqlite3.connect(f"file:{server.database}?mode=ro",
                             uri=True) as db:
            bad = db.execute(
                "SELECT count(*) FROM runs WHERE state NOT IN "
                "('succeeded', 'cancelled')").fetchone()[0]
            gaps = db.execute("""
                SELECT count(*) FROM runs WHERE last_sequence <>
                  (SELECT count(*) FROM steps WHERE run = runs.id) +
                  (SELECT count(*) FROM sample_events WHERE run = runs.id)
                """).fetchone()[0]
        warm = soak.memory[before or 0:]
        # An hour's slope means nothing after minutes: then the whole growth
        # counts.
        hourly = seconds >= 3600
        growth = (growth_kib_an_hour(soak.memory, seconds) if hourly
                  else warm[-1][1] - warm[0][1])
        bar = 1024 if hourly else 8192
        table.row("minutes", f"{options.minutes:g}")
        table.row("runs, cancelled",
                  f"{len(soak.runs)}, {len(soak.cancelled)}")
        table.row("the same server all the time", alive, "yes", alive)
        table.row("memory once warm, MiB", f"{warm[0][1] / 1024:.0f}")
        table.row("growth, KiB an hour" if hourly else "growth since, KiB",
                  f"{growth:.0f}", f"≤ {bar}", growth <= bar)
        table.row("descriptors at the end", open_now, "≤ 24", open_now <= 24)
        table.row("log at most, MiB", f"{soak.log_bytes / 2**20:.1f}",
                  f"≤ {LOG_MIB}", soak.log_bytes <= LOG_MIB << 20)
        table.row("runs that did not end well", bad, "0", bad == 0)
        table.row("runs with gaps", gaps, "0", gaps == 0)
        table.row("exit", status, "0", status == 0)
    return table.exit_status()


if __name__ == "__main__":
    sys.exit(main())
