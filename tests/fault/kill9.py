"""Kills the server at random moments, again and again, while a run goes on.

What must hold: nothing that was committed is lost, nothing is sent twice, the
sequences have no gaps, at most one sample is computed again per death, and what
is there in the end is, times and attempt numbers aside, what a server that never
died makes of the same samples.
"""

import argparse
import json
import os
import pathlib
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

SERVER = os.environ["KVRECALL_SERVER_BINARY"]
CLIENT = os.environ["KVRECALL_CLIENT_BINARY"]
WATCH_LOG = os.environ["KVRECALL_WATCH_LOG"]

# Of times and attempts, and of nothing else, the content may differ.
VOLATILE = {"run_id", "create_time", "end_time", "queue_seconds",
            "prefill_seconds", "decode_seconds", "attempt", "last_sequence"}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, database, port, delay_ms):
        self.address = f"127.0.0.1:{port}"
        self.command = [
            SERVER, "--scripted", "--scripted-delay-ms", str(delay_ms),
            "--listen", self.address, "--metrics", "", "--database",
            str(database), "--port-file", f"{database}.port", "--log-level",
            "warning"]
        self.port_file = pathlib.Path(f"{database}.port")
        self.process = None

    def start(self):
        self.port_file.unlink(missing_ok=True)
        self.process = subprocess.Popen(self.command)
        deadline = time.monotonic() + 60
        while not (self.port_file.exists() and self.port_file.stat().st_size):
            if self.process.poll() is not None:
                raise SystemExit(f"the server ended: {self.process.returncode}")
            if time.monotonic() > deadline:
                raise SystemExit("the server is not up after a minute")
            time.sleep(0.005)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        self.process.terminate()
        return self.process.wait(timeout=60)


def client(server, *arguments):
    done = subprocess.run(
        [CLIENT, *arguments, "--server", server.address], text=True,
        capture_output=True, timeout=300)
    if done.returncode not in (0, 1):
        raise SystemExit(f"client {arguments}: {done.stderr}")
    return done.stdout


def submit(server, samples, seed):
    """A run of short questions, not waited for."""
    lines = "".join(
        json.dumps({"_id": f"s{i}", "input": f"Question {seed} {i}?"}) + "\n"
        for i in range(samples))
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.write(lines)
        file.flush()
        return client(server, "submit", "--jsonl", file.name, "--detach",
                      "--chat-template", "none", "--max-new-tokens", "12",
                      "--ignore-eos", "--policies", "h2o,random",
                      "--budgets", "0.2").strip()


def content(text):
    """An export without what may differ, its samples in order."""
    lines = []
    for line in text.splitlines():
        entry = json.loads(line)
        if entry["type"] != "run":
            lines.append({k: v for k, v in entry.items() if k not in VOLATILE})
    return sorted(lines, key=lambda e: (e["sample_id"], e.get("step", 0)))


def committed(database):
    """{sequence: (kind, sample, attempt)} of the only run."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
        rows = db.execute("""
            SELECT sequence, 'step', sample, attempt FROM steps UNION ALL
            SELECT sequence, kind, sample, attempt FROM sample_events""")
        return {row[0]: row[1:] for row in rows}


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
    failures = []

    def check(holds, what):
        if not holds:
            failures.append(what)

    with tempfile.TemporaryDirectory(prefix="kvrecall_kill9_") as folder:
        folder = pathlib.Path(folder)
        # Enough work for all the deaths: a round computes a sample or two.
        samples = options.rounds * 2 + 5
        calm = Server(folder / "calm.db", free_port(), 0)
        calm.start()
        expected_run = submit(calm, samples, options.seed)
        client(calm, "watch", expected_run, "--json")
        expected = content(client(calm, "export", expected_run))
        check(calm.stop() == 0, "the calm server did not end well")

        server = Server(folder / "killed.db", free_port(), 4)
        server.start()
        run = submit(server, samples, options.seed)
        log = folder / "watched.txt"
        watch = subprocess.Popen(
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
        check(watch.returncode == 0, "the watcher gave up")
        actual_text = client(server, "export", run)
        check(server.stop() == 0, "the server did not end well")
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

        rows = [
            ("deaths", deaths, f"{options.rounds}", deaths == options.rounds),
            ("samples", len(attempts), f"{samples}", len(attempts) == samples),
            ("events committed", len(end), "–", True),
            ("committed events lost", lost, "0", lost == 0),
            ("gaps in the sequences", gaps, "0", gaps == 0),
            ("events sent twice", twice, "0", twice == 0),
            ("events never sent", unsent, "0", unsent == 0),
            ("out of order", int(sequences != sorted(sequences)), "0",
             sequences == sorted(sequences)),
            ("samples computed again", again, f"≤ {deaths}", again <= deaths),
            ("content as without deaths", "yes" if same else "no", "yes", same),
            ("streams", streams, "–", True),
            ("seconds", f"{seconds:.1f}", "–", True),
        ]
        for name, value, bar, holds in rows:
            print(f"{name:28}{value!s:>10}   {bar:8}{'' if holds else 'BROKEN'}")
            check(holds, name)
    if failures:
        print("broken: " + ", ".join(dict.fromkeys(failures)))
        return 1
    print("all promises held")
    return 0


if __name__ == "__main__":
    sys.exit(main())
