"""Readers of every kind: one that stalls, a thousand that wait, a thousand that
leave at once.

What must hold: nobody's reading costs the others or the engine, a reader costs
little memory, and what a stream held is free when it has gone. --short checks
what does not depend on how busy the machine is.
"""

import argparse
import statistics
import sys
import tempfile
import time

from fault_server import Table, client
from load_server import (PAIRS, Load, LoadedServer, submit, upper_bound,
                         wait_for)

KIB, MIB = 1 << 10, 1 << 20


class Phase:
    """One run, read to its end by `readers`, beside `stalled` that do not."""

    def __init__(self, server, steps, readers, stalled):
        run = submit(server, 1, steps)
        load = Load(server, "watch", run, "--readers", readers,
                    "--stalled", stalled)
        load.hear()  # "read"
        self.memory = server.resident()
        load.say("wake")
        seen = load.result()
        self.pause = seen["readers"]["pause_ms"]["p99"]
        self.whole = seen["readers"]["whole"] + seen["stalled"]["whole"]
        self.streams = seen["stalled"]["streams"]


def stalled_reader(folder, table, readers, pairs, steps):
    server = LoadedServer(folder, "stalled", delay_ms=20)

    def phase(stalled):
        return Phase(server, steps, readers - 1, stalled)

    phase(1)  # what is allocated once is there
    found = []
    for i in range(pairs):
        order = (0, 1) if i % 2 == 0 else (1, 0)
        of = {stalled: phase(stalled) for stalled in order}
        found.append((of[0], of[1]))
    wait_for(lambda: server.streams() == 0)
    server.stop()
    whole = all(without.whole == readers - 1 and beside.whole == readers
                for without, beside in found)
    table.row("stalled reader: all read all, in order",
              "yes" if whole else "no", "yes", whole)
    if pairs < PAIRS:
        return
    pause = statistics.median(b.pause / a.pause for a, b in found)
    table.row("  the others' pauses, p99, ms",
              f"{statistics.median(a.pause for a, _ in found):.1f}")
    table.row("  ratio beside it, median", f"{pause:.3f}", "≤ 1.05",
              pause <= 1.05)
    memory = statistics.median(b.memory - a.memory for a, b in found)
    table.row("  server memory beside it, KiB", f"{memory / KIB:.0f}",
              "≤ 1024", memory <= MIB)


def engine_beside(folder, table, readers):
    """The engine's processor time a step, while runs go through: without the
    stalled reader, with it, with it, without, so that what drifts cancels
    out."""
    # With one compute thread all work of a step is the engine's own; with more
    # it also spins until the others, whom readers keep from their processor,
    # have done their part, and that is no work.
    server = LoadedServer(folder, "engine", delay_ms=10,
                          extra=["--max-context", "8192"],
                          environment={"OMP_NUM_THREADS": "1"})
    # Of texts that stay short, so that a step takes no longer and longer.
    run = submit(server, 20, 4000, words=300)
    others = Load(server, "watch", run, "--readers", readers - 1)
    steps = 'kvrecall_generation_tokens_total{task="custom"}'
    # A history that is more than the stalled one takes.
    wait_for(lambda: server.metric(steps) > 300)

    def at_a_commit():
        """Steps, and what the engine has used, when some were committed: that
        is as long after the last of them each time."""
        last = server.metric(steps)
        done = wait_for(lambda: (now := server.metric(steps)) > last and now)
        return done, server.processor_seconds("engine")

    def window():
        time.sleep(0.5)  # whoever came or left has done so
        begin = at_a_commit()
        time.sleep(1.5)
        end = at_a_commit()
        return (end[1] - begin[1]) / (end[0] - begin[0])

    def samples():
        return server.metric('kvrecall_samples_total{outcome="length"}')

    more, alone = [], []
    while len(more) < PAIRS:
        begun = samples()
        before = window()
        stalled = Load(server, "watch", run, "--readers", 0, "--stalled", 1)
        wait_for(lambda: server.streams() == readers)
        beside = window() + window()
        stalled.process.kill()
        wait_for(lambda: server.streams() == readers - 1)
        without = before + window()
        if samples() == begun:  # the next one's prefill was in no window
            alone.append(without)
            more.append(beside / without - 1)
    client(server, "cancel", run)
    others.result()
    server.stop()
    table.row("engine: processor time a step, µs",
              f"{statistics.median(alone) / 2 * 1e6:.0f}")
    table.row("  more beside a stalled reader, median, %",
              f"{statistics.median(more) * 100:.2f}")
    bound = upper_bound(more)
    table.row("  more, upper 95 % bound, %", f"{bound * 100:.2f}", "≤ 1",
              bound <= 0.01)


def sleeping_reader(folder, table):
    """A reader that a whole backlog waits for, and that sleeps so long that it
    is given up."""
    server = LoadedServer(folder, "sleeping", delay_ms=0)
    run = submit(server, 40, 200)
    client(server, "watch", run, "--json")
    before = server.resident()
    load = Load(server, "watch", run, "--readers", 0, "--stalled", 20)
    wait_for(lambda: server.streams() == 20)
    time.sleep(2)  # to take what it takes
    memory = (server.resident() - before) / 20
    table.row("asleep on a backlog: server memory, KiB",
              f"{memory / KIB:.0f}", "≤ 1024", memory <= MIB)
    start = time.monotonic()
    wait_for(lambda: server.streams() == 0, seconds=120,
             why="the sleeping readers were not given up")
    table.row("asleep: given up after, s",
              f"{time.monotonic() - start:.0f}", "55 to 75",
              55 <= time.monotonic() - start <= 75)
    load.say("wake")
    seen = load.result()["stalled"]
    table.row("asleep: woken, read all in order", seen["whole"], "20",
              seen["whole"] == 20 and seen["streams"] == 40)
    server.stop()


def crowd(folder, table, idle, active, samples, timed):
    server = LoadedServer(folder, "crowd", delay_ms=20)
    # A run with a history, of which nothing more comes.
    waited_for = Load(server, "submit", "--samples", 2, "--steps", 100,
                      "--open").result()["run"]
    wait_for(lambda: server.metric("kvrecall_samples_running")
             + server.metric("kvrecall_samples_waiting") == 0)
    # The first streams of a server have what all share made.
    first = Load(server, "watch", waited_for, "--readers", 50)
    wait_for(lambda: server.streams() == 50)
    settle(server)
    first.say("cancel")
    first.result()
    wait_for(lambda: server.streams() == 0)
    before = server.resident()
    sleepers = Load(server, "watch", waited_for, "--readers", idle)
    wait_for(lambda: server.streams() == idle)
    settle(server)
    memory = (server.resident() - before) / idle
    run = submit(server, samples, 100)
    watchers = Load(server, "watch", run, "--readers", active,
                    "--database", server.database)
    begin, used = time.monotonic(), server.processor_seconds()
    watchers.hear()  # "read"
    used = ((server.processor_seconds() - used) / (time.monotonic() - begin))
    seen = watchers.result()["readers"]
    sleepers.say("cancel")
    slept = sleepers.result()["readers"]
    history = 2 * 100 + 4  # steps, starts and ends
    table.row(f"{idle} idle: read the history before",
              slept["events"] // idle, str(history),
              slept["events"] == idle * history)
    streams = slept["streams"] + seen["streams"]
    table.row("  streams, of idle and active", streams, str(idle + active),
              streams == idle + active)
    wait_for(lambda: server.streams() == 0)
    server.stop()
    table.row(f"{idle} idle, {active} active: read all in order",
              seen["whole"], str(active), seen["whole"] == active)
    if not timed:
        return
    table.row("  memory of an idle one, KiB", f"{memory / KIB:.1f}", "≤ 64",
              memory <= 64 * KIB)
    table.row("  events a second, to all",
              f"{seen['events'] / seen['seconds']:.0f}")
    table.row("  from commit to reader, p50, ms",
              f"{seen['delay_ms']['p50']:.0f}")
    delay = seen["delay_ms"]["p99"]
    table.row("  from commit to reader, p99, ms", f"{delay:.0f}", "≤ 500",
              delay <= 500)
    table.row("  server's processors", f"{used:.2f}")


def storm(folder, table, readers, rounds):
    """Every second round the clients are killed, the others say goodbye."""
    server = LoadedServer(folder, "storm", delay_ms=100)
    run = submit(server, 1000, 100)
    wait_for(lambda: server.metric("kvrecall_records_committed_total") > 1)
    before = None
    slowest = 0
    for i in range(rounds + 1):
        load = Load(server, "watch", run, "--readers", readers)
        wait_for(lambda: server.streams() == readers,
                 why="the streams did not open")
        start = time.monotonic()
        if i % 2:
            load.process.kill()
            load.process.wait()
        else:
            load.say("cancel")
            load.result()
        slowest = max(slowest, time.monotonic() - start)
        wait_for(lambda: server.streams() == 0,
                 why="streams were not released")
        if before is None:  # the first round opens what stays open
            before = settle(server)
    after = settle(server)
    alive = server.process.poll() is None
    watched = sum(
        value for name, value in server.metrics().items()
        if name.startswith("kvrecall_grpc_server_handled_total")
        and 'method="WatchRun"' in name)
    table.row(f"{rounds} times {readers} disconnects: alive",
              "yes" if alive else "no", "yes", alive)
    table.row("  a round's disconnects took at most, s", f"{slowest:.2f}",
              "≤ 1" if readers >= 1000 else "–",
              slowest <= 1 or readers < 1000)
    table.row("  streams that ended, of those opened", f"{watched:.0f}",
              str(readers * (rounds + 1)), watched == readers * (rounds + 1))
    table.row("  streams open", server.streams(), "0", server.streams() == 0)
    table.row("  descriptors, before and after", f"{before} {after}",
              "the same", after <= before)
    client(server, "cancel", run)
    status = server.stop()
    table.row("  exit", status, "0", status == 0)


def settle(server):
    """Waits until the server has nothing to do; its descriptors then."""
    def still():
        before = server.processor_seconds(), server.descriptors()
        time.sleep(0.5)
        after = server.processor_seconds(), server.descriptors()
        idle = after[0] - before[0] < 0.05 and after[1] == before[1]
        return after[1] if idle else 0
    return wait_for(still, seconds=120, why="the server does not settle")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true")
    options = parser.parse_args()
    table = Table()
    with tempfile.TemporaryDirectory(prefix="kvrecall_streams_") as folder:
        if options.short:
            stalled_reader(folder, table, readers=20, pairs=1, steps=60)
            crowd(folder, table, idle=100, active=20, samples=1, timed=False)
            storm(folder, table, readers=100, rounds=3)
        else:
            stalled_reader(folder, table, readers=100, pairs=PAIRS, steps=150)
            engine_beside(folder, table, readers=100)
            sleeping_reader(folder, table)
            crowd(folder, table, idle=1000, active=200, samples=5, timed=True)
            storm(folder, table, readers=1000, rounds=20)
    return table.exit_status()


if __name__ == "__main__":
    sys.exit(main())
