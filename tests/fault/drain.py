"""SIGTERM in every state that a server can be in, and a drain by a call.

What must hold: it ends with 0 within the time that it was given, its log is
empty, nothing that was acknowledged is lost; and a server that takes over makes
of the rest what one that was never stopped makes of it.
"""

import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

from fault_server import (
    CLIENT, WATCH_LOG, Server, Table, client, committed, content,
    start_process, submit)

SAMPLES = 8
# Beyond the drain's own seconds: streams have five to end, then the log is
# written out, on a machine that may be busy.
GRACE = 10.0


def wait_for(what, seconds=30):
    deadline = time.monotonic() + seconds
    while not what():
        if time.monotonic() > deadline:
            raise SystemExit("waited in vain")
        time.sleep(0.005)


class Drain:
    """One server, stopped in one state."""

    def __init__(self, folder, name, delay_ms, drain_seconds, extra=()):
        self.name = name
        self.drain_seconds = drain_seconds
        self.server = Server(folder / f"{name}.db", delay_ms,
                             extra=["--drain-seconds", str(drain_seconds),
                                    *extra])
        self.server.start()

    def kinds(self):
        return [kind for kind, _, _ in
                committed(self.server.database).values()]

    def stop(self, table, by_call=False):
        """SIGTERM, perhaps after a call; the table's row of how it ended."""
        before = committed(self.server.database)
        start = time.monotonic()
        if by_call:
            client(self.server, "admin", "drain")
        # After a call it changes nothing.
        status = self.server.stop()
        seconds = time.monotonic() - start
        wal = pathlib.Path(f"{self.server.database}-wal")
        wal_bytes = wal.stat().st_size if wal.exists() else 0
        after = committed(self.server.database)
        lost = sum(after.get(s) != e for s, e in before.items())
        limit = self.drain_seconds + GRACE
        good = (status == 0 and seconds <= limit and wal_bytes == 0
                and lost == 0)
        table.row(f"{self.name}: exit, log, lost, seconds",
                  f"{status} {wal_bytes} {lost} {seconds:.1f}",
                  f"0 0 0 {limit:.0f}", good)

    def finish(self, run, expected, table):
        """A server that takes over, and what it makes of the rest."""
        heir = Server(self.server.database, delay_ms=0)
        heir.start()
        client(heir, "watch", run, "--json")
        same = content(client(heir, "export", run)) == expected
        heir.stop()
        table.row(f"{self.name}: the rest as never stopped",
                  "yes" if same else "no", "yes", same)


def main():
    table = Table()
    with tempfile.TemporaryDirectory(prefix="kvrecall_drain_") as folder:
        folder = pathlib.Path(folder)
        calm = Server(folder / "calm.db", delay_ms=0)
        calm.start()
        run = submit(calm, SAMPLES, 7)
        client(calm, "watch", run, "--json")
        expected = content(client(calm, "export", run))
        calm.stop()

        Drain(folder, "idle", 0, 5).stop(table)

        # The running sample has time to end.
        drain = Drain(folder, "step", 20, 10)
        run = submit(drain.server, SAMPLES, 7)
        wait_for(lambda: drain.kinds().count("step") >= 3)
        drain.stop(table)
        kinds = drain.kinds()
        whole = kinds.count("sample_started") == kinds.count("sample_finished")
        table.row("step: the running sample was finished",
                  "yes" if whole else "no", "yes", whole)
        drain.finish(run, expected, table)

        drain = Drain(folder, "step, by a call", 20, 10)
        run = submit(drain.server, SAMPLES, 7)
        wait_for(lambda: drain.kinds().count("step") >= 3)
        drain.stop(table, by_call=True)
        kinds = drain.kinds()
        whole = kinds.count("sample_started") == kinds.count("sample_finished")
        table.row("step, by a call: the running sample was finished",
                  "yes" if whole else "no", "yes", whole)
        drain.finish(run, expected, table)

        # It has not: it is given back.
        drain = Drain(folder, "step, no time", 200, 0)
        run = submit(drain.server, SAMPLES, 7)
        wait_for(lambda: drain.kinds().count("step") >= 2)
        drain.stop(table)
        drain.finish(run, expected, table)

        drain = Drain(folder, "prefill, no time", 300, 0)
        run = submit(drain.server, SAMPLES, 7)
        wait_for(lambda: "sample_started" in drain.kinds())
        drain.stop(table)
        drain.finish(run, expected, table)

        # A watcher is told where to go on, and does at the heir's.
        drain = Drain(folder, "stream", 50, 0)
        run = submit(drain.server, SAMPLES, 7)
        log = folder / "watched.txt"
        watch = start_process([WATCH_LOG, drain.server.address, run,
                                  str(log)], stdout=subprocess.PIPE)
        wait_for(lambda: log.exists() and log.stat().st_size > 60)
        drain.stop(table)
        heir = Server(drain.server.database, 0,
                      port=drain.server.address.split(":")[1])
        heir.start()
        watch.communicate(timeout=60)
        sequences = [int(line.split()[0])
                     for line in log.read_text().splitlines()]
        whole = sequences == sorted(committed(heir.database))
        table.row("stream: goes on at the heir's, whole",
                  "yes" if whole else "no", "yes", whole)
        heir.stop()

        # In the midst of many calls: what was acknowledged is there.
        drain = Drain(folder, "calls", 5, 0)
        callers = [start_process(
            [CLIENT, "submit", "--prompt", "-", "--detach", "--server",
             drain.server.address], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            for _ in range(8)]
        for i, caller in enumerate(callers):
            caller.stdin.write(f"Prompt {i}?".encode())
            caller.stdin.close()
        wait_for(lambda: any(c.poll() is not None for c in callers))
        drain.stop(table)
        acknowledged = [c.stdout.read().decode().strip() for c in callers
                        if c.wait() == 0]
        listed = subprocess.run(
            [CLIENT, "runs", "--db", str(drain.server.database)], text=True,
            capture_output=True, check=True).stdout
        missing = sum(run not in listed for run in acknowledged)
        table.row("calls: acknowledged runs that are missing",
                  f"{missing} of {len(acknowledged)}", "0",
                  missing == 0 and len(acknowledged) > 0)

        # The device is lost: as a death, but what ran goes back at once.
        drain = Drain(folder, "device lost", 1, 0,
                      extra=["--scripted-lost-at", "20"])
        run = submit(drain.server, SAMPLES, 7)
        status = drain.server.process.wait(timeout=60)
        table.row("device lost: exit", status, "1", status == 1)
        drain.finish(run, expected, table)

        # A second signal ends it at once.
        drain = Drain(folder, "twice", 2000, 60)
        submit(drain.server, SAMPLES, 7)
        wait_for(lambda: "sample_started" in drain.kinds())
        drain.server.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        start = time.monotonic()
        drain.server.process.send_signal(signal.SIGTERM)
        status = drain.server.process.wait(timeout=30)
        seconds = time.monotonic() - start
        table.row("twice: exit, seconds", f"{status} {seconds:.2f}",
                  "143, < 5", status == 143 and seconds < 5)
    return table.exit_status()


if __name__ == "__main__":
    sys.exit(main())
