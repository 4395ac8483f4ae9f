"""What metrics cost the engine thread: the same work on a server that counts,
and is scraped every second, and on one that does not, in turn. Both are started
anew for each pair: two processes lie differently in memory, which alone makes a
percent, now one way and now the other."""

import argparse
import statistics
import sys
import tempfile
import threading

from fault_server import Table, client
from load_server import PAIRS, LoadedServer, submit, upper_bound

STEPS = 300
TURNS = 5  # of a pair: short ones, so that what the machine does hits both


class Side:
    """One of the two servers."""

    def __init__(self, folder, name, metrics):
        # One compute thread: all of a step is the engine thread's then.
        self.server = LoadedServer(
            folder, name, 0, model="nano", metrics=metrics,
            extra=["--threads", "1"],
            environment={"OMP_NUM_THREADS": "1"})

    def step_seconds(self):
        """Processor time of the engine thread for a step of the same sample,
        its prefill included."""
        before = self.server.processor_seconds("engine")
        run = submit(self.server, 1, STEPS, words=100, extra=["--fresh"])
        client(self.server, "watch", run, "--json")
        return (self.server.processor_seconds("engine") - before) / STEPS


def scrape(server, stop):
    while not stop.wait(1):
        server.metrics()


def pair():
    """Seconds a step, without and with metrics."""
    # A database in a folder of its own, gone with it.
    with tempfile.TemporaryDirectory() as folder:
        on = Side(folder, "on", "127.0.0.1:0")
        off = Side(folder, "off", "")
        stop = threading.Event()
        scraper = threading.Thread(target=scrape, args=(on.server, stop))
        scraper.start()
        for side in (on, off):
            side.step_seconds()  # caches fill, pages are made
        seconds = {off: [], on: []}
        for _ in range(TURNS):
            for side in (off, on, on, off):  # what drifts cancels out
                seconds[side].append(side.step_seconds())
        stop.set()
        scraper.join()
        for side in (on, off):
            side.server.stop()
    # The median of a pair's: a turn that was disturbed counts as one.
    return tuple(map(statistics.median, seconds.values()))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=PAIRS)
    pairs = parser.parse_args().pairs
    table = Table()
    measured = [pair() for _ in range(pairs)]
    more = [beside / alone - 1 for alone, beside in measured]
    table.row("engine: processor time a step without metrics, µs",
              f"{statistics.median(alone for alone, _ in measured) * 1e6:.0f}")
    table.row("  more with metrics, median, %",
              f"{statistics.median(more) * 100:.2f}")
    if pairs == PAIRS:
        bound = upper_bound(more)
        table.row("  more, upper 95 % bound, %", f"{bound * 100:.2f}", "≤ 1",
                  bound <= 0.01)
    return table.exit_status()


if __name__ == "__main__":
    sys.exit(main())
