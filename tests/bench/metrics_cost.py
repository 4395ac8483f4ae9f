"""What metrics cost the engine thread: the same work on a server that counts,
and is scraped every second, and on one that does not, in turn. Both are started
anew several times for each pair: two processes lie differently in memory, which
alone makes two percent, now one way and now the other."""

import argparse
import statistics
import sys
import tempfile
import threading

from fault_server import Table, client
from load_server import PAIRS, LoadedServer, submit, upper_bound

STEPS = 300
STARTS = 6  # of a pair, by turns this one first and that one
METRICS = {"on": "127.0.0.1:0", "off": ""}
TURNS = 3  # of a start: short ones, so that what the machine does hits both


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


def started(order):
    """Seconds a step, {name: turns}, of two servers started in this order."""
    # A database in a folder of its own, gone with it.
    with tempfile.TemporaryDirectory() as folder:
        sides = {name: Side(folder, name, METRICS[name]) for name in order}
        stop = threading.Event()
        scraper = threading.Thread(target=scrape,
                                   args=(sides["on"].server, stop))
        scraper.start()
        seconds = {name: [] for name in order}
        for side in sides.values():
            side.step_seconds()  # caches fill, pages are made
        for _ in range(TURNS):
            for name in order + order[::-1]:  # what drifts cancels out
                seconds[name].append(sides[name].step_seconds())
        stop.set()
        scraper.join()
        for side in sides.values():
            side.server.stop()
    return seconds


def pair():
    """Seconds a step, without metrics, and the share that they add."""
    alone, more = [], []
    for start in range(STARTS):
        order = ["on", "off"] if start % 2 else ["off", "on"]
        # The median: a turn that was disturbed counts as one.
        seconds = {name: statistics.median(turns)
                   for name, turns in started(order).items()}
        alone.append(seconds["off"])
        more.append(seconds["on"] / seconds["off"] - 1)
    return statistics.median(alone), statistics.median(more)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=PAIRS)
    pairs = parser.parse_args().pairs
    table = Table()
    measured = [pair() for _ in range(pairs)]
    more = [share for _, share in measured]
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
