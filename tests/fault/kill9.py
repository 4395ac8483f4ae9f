"""Kills the server at random moments, again and again, while a run goes on.

What must hold: nothing that was committed is lost, nothing is sent twice, the
sequences have no gaps, at most one sample is computed again per death, and what
is there in the end is, times and attempt numbers aside, what a server that never
died makes of the same samples.
"""

import argparse
import pathlib
import random
import subprocess
import sys
import tempfile
import time

from fault_server import (
    WATCH_LOG, Server, Table, client, committed, content, start_process,
    submit)


def ends(events):
    return sum(kind == "sample_finished" for kind, _, _ in events.values())


def finished(database):
    return ends(committed(database))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    table = Table()

    with tempfile.TemporaryDirectory(prefix="kvrecall_kill9_") as folder:
        folder = pathlib.Path(folder)
        # Enough work for all the deaths: a round computes a sample or two.
        samples = options.rounds * 2 + 5
        calm = Server(folder / "calm.db", delay_ms=0)
        calm.start()
        expected_run = submit(calm, samples, options.seed)
        client(calm, "watch", expected_run, "--json")
        expected = content(client(calm, "export", expected_run))
        calm_end = calm.stop()

        server = Server(folder / "killed.db", delay_ms=4)
        server.start()
        run = submit(server, samples, options.seed)
        log = folder / "watched.txt"
        watch = start_process(
            [WATCH_LOG, server.address, run, str(log)],
            stdout=subprocess.PIPE, text=True)
        before = {}
        deaths = lost = barren = 0
        started = time.monotonic()
        for _ in range(options.rounds):
            time.sleep(chance.uniform(0, 0.2))
            # A sample that three servers died of is failed, and rightly: these
            # deaths are to be nobody's fault, so a sample ends before a third.
            deadline = time.monotonic() + 30
            while (barren == 1 and finished(folder / "killed.db") == ends(before)
                   and time.monotonic() < deadline):
                time.sleep(0.005)
            if watch.poll() is not None:
                break  # the run is over
            server.kill()
            deaths += 1
            now = committed(folder / "killed.db")
            lost += sum(now.get(s) != e for s, e in before.items())
            barren = barren + 1 if ends(now) == ends(before) else 0
            before = now
            server.start()
        streams = watch.communicate(timeout=600)[0].strip()
        actual_text = client(server, "export", run)
        end_status = server.stop()
        seconds = time.monotonic() - started

        end = committed(folder / "killed.db")
        lost += sum(end.get(s) != e for s, e in before.items())
        watched = [line.split() for line in log.read_text().splitlines()]
        sequences = [int(sequence) for sequence, _ in watched]
        attempts = {}
        for kind, sample, attempt in end.values():
            if kind != "run_finished":
                attempts.setdefault(sample, set()).add(attempt)
        again = sum(len(numbers) - 1 for numbers in attempts.values())
        gaps = sum(s not in end for s in range(1, len(end) + 1))
        twice = len(sequences) - len(set(sequences))
        unsent = len(set(end) - set(sequences))
        actual = content(actual_text)
        same = actual == expected
        if not same:
            differ = [(a, e) for a, e in zip(actual, expected) if a != e]
            print(f"{len(actual)} lines for {len(expected)}; the first that "
                  f"differ: {differ[:1]}", file=sys.stderr)

        table.row("deaths", deaths, str(options.rounds),
                  deaths == options.rounds)
        table.row("samples", len(attempts), str(samples),
                  len(attempts) == samples)
        table.row("events committed", len(end))
        table.row("committed events lost", lost, "0", lost == 0)
        table.row("gaps in the sequences", gaps, "0", gaps == 0)
        table.row("events sent twice", twice, "0", twice == 0)
        table.row("events never sent", unsent, "0", unsent == 0)
        in_order = sequences == sorted(sequences)
        table.row("in order", "yes" if in_order else "no", "yes", in_order)
        table.row("samples computed again", again, f"≤ {deaths}",
                  again <= deaths)
        table.row("content as without deaths", "yes" if same else "no", "yes",
                  same)
        ends_well = (calm_end, end_status, watch.returncode)
        table.row("exit: calm server, server, watcher", ends_well, "(0, 0, 0)",
                  ends_well == (0, 0, 0))
        table.row("streams", streams)
        table.row("seconds", f"{seconds:.1f}")
    return table.exit_status()


if __name__ == "__main__":
    sys.exit(main())
