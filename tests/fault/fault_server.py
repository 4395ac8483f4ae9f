"""A server with made-up numbers that tests may kill, and what is checked after."""

import atexit
import contextlib
import json
import os
import pathlib
import signal
import socket
import sqlite3
import subprocess
import tempfile
import time

SERVER = os.environ["KVRECALL_SERVER_BINARY"]
CLIENT = os.environ["KVRECALL_CLIENT_BINARY"]
WATCH_LOG = os.environ.get("KVRECALL_WATCH_LOG")

# Of times and attempts, and of nothing else, the content may differ.
VOLATILE = {"run_id", "create_time", "end_time", "queue_seconds",
            "prefill_seconds", "decode_seconds", "attempt", "last_sequence"}


started = []


def start_process(*arguments, **options):
    """A process that does not outlive this one, whatever happens to it."""
    started.append(subprocess.Popen(*arguments, **options))
    return started[-1]


@atexit.register
def kill_started():
    for process in started:
        if process.poll() is None:
            process.kill()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, database, delay_ms=0, port=None, extra=(), log=None,
                 metrics="", environment=None, model=None):
        """With made-up numbers, or of a model."""
        self.address = f"127.0.0.1:{port or free_port()}"
        self.database = pathlib.Path(database)
        engine = (["--model", model] if model else
                  ["--scripted", "--scripted-delay-ms", str(delay_ms)])
        self.command = [
            SERVER, *engine, "--listen", self.address, "--metrics", metrics,
            "--database", str(database), "--port-file", f"{database}.port",
            "--log-level", "warning", *extra]
        self.port_file = pathlib.Path(f"{database}.port")
        self.environment = os.environ | (environment or {})
        self.log = log  # where what it says goes; None: to where this one's goes
        self.process = None

    def start(self):
        self.port_file.unlink(missing_ok=True)
        with contextlib.ExitStack() as files:
            log = self.log and files.enter_context(open(self.log, "ab"))
            self.process = start_process(self.command, stderr=log,
                                         env=self.environment)
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
    """{sequence: (kind, sample, attempt)} of the first run."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
        rows = db.execute("""
            SELECT sequence, 'step', sample, attempt FROM steps WHERE run = 1
            UNION ALL SELECT sequence, kind, sample, attempt
            FROM sample_events WHERE run = 1""")
        return {row[0]: row[1:] for row in rows}


class Table:
    """Figures beside what they must be; says which promise is broken."""

    def __init__(self):
        self.broken = []

    def row(self, name, value, bar="–", holds=True):
        print(f"{name:44}{value!s:>10}   {bar:10}{'' if holds else 'BROKEN'}",
              flush=True)
        if not holds:
            self.broken.append(name)

    def exit_status(self):
        print("broken: " + ", ".join(self.broken) if self.broken
              else "all promises held")
        return 1 if self.broken else 0
