"""How many step records a second go to the disk and to one stream.

The scripted model's steps cost next to nothing, so what is measured is all that
is around a model: 18 recalls a record, their rows, and one reader. --short checks
that all arrives, not how fast.
"""

import argparse
import sqlite3
import sys
import tempfile

from fault_server import Table
from load_server import Load, LoadedServer, submit

RATE = 5000       # records a second
LAG_MS = 100      # p99


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=60000)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--words", type=int, default=40)
    options = parser.parse_args()
    timed = not options.short
    if options.short:
        options.records = 4000
    steps = 200
    samples = max(1, options.records // steps)
    table = Table()
    with tempfile.TemporaryDirectory(prefix="kvrecall_rate_") as folder:
        server = LoadedServer(folder, "rate", delay_ms=0)
        used = server.processor_seconds()
        run = submit(server, samples, steps, options.words)
        watch = Load(server, "watch", run, "--database", server.database)
        seen = watch.result()["readers"]
        used = server.processor_seconds() - used
        lag = server.bucket_at("kvrecall_record_commit_lag_seconds", 0.99)
        half = server.bucket_at("kvrecall_record_commit_lag_seconds", 0.5)
        commit = server.bucket_at("kvrecall_sqlite_commit_seconds", 0.99)
        threads = {name: server.processor_seconds(name)
                   for name in ("engine", "writer", "reader")}
        server.stop()
        with sqlite3.connect(server.database) as db:
            recorded, recalls = (
                db.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
                for name in ("steps", "step_recalls"))

        rate = samples * steps / seen["seconds"]
        table.row("records a second, disk and stream", f"{rate:.0f}",
                  f"≥ {RATE}", rate >= RATE or not timed)
        table.row("records in the database", recorded, str(samples * steps),
                  recorded == samples * steps)
        table.row("recalls in the database", recalls, str(recorded * 18),
                  recalls == recorded * 18)
        table.row("readers that read all in order", seen["whole"], "1",
                  seen["whole"] == 1)
        table.row("commit lag, half within, ms", f"{half * 1e3:g}")
        table.row("commit lag, 99 % within, ms", f"{lag * 1e3:g}",
                  f"≤ {LAG_MS}", lag * 1e3 <= LAG_MS or not timed)
        table.row("a commit, 99 % within, ms", f"{commit * 1e3:g}")
        table.row("from commit to reader, p50, ms",
                  f"{seen['delay_ms']['p50']:.1f}")
        table.row("from commit to reader, p99, ms",
                  f"{seen['delay_ms']['p99']:.1f}")
        table.row("processor time a record, µs",
                  f"{used / recorded * 1e6:.0f}")
        for name, seconds in threads.items():
            table.row(f"  thread {name}, µs",
                      f"{seconds / recorded * 1e6:.0f}")
        table.row("processors", f"{used / seen['seconds']:.2f}")
    return table.exit_status()


if __name__ == "__main__":
    sys.exit(main())
