"""A real kvrecall-server in a process of its own, for the end-to-end tests.

The programs under test are named by the environment: KVRECALL_SERVER_BINARY and
KVRECALL_CLIENT_BINARY (ctest sets both).
"""

import json
import os
import pathlib
import signal
import subprocess
import time
import urllib.request

SERVER = os.environ["KVRECALL_SERVER_BINARY"]
CLIENT = os.environ["KVRECALL_CLIENT_BINARY"]
START_SECONDS = 120


class ServerProcess:
    """Starts on free ports of the loopback; a context manager."""

    def __init__(self, folder, model="nano", extra=()):
        self.folder = pathlib.Path(folder)
        self.database = self.folder / "kvrecall.db"
        self.model = model
        self.extra = list(extra)
        self.process = None
        self.grpc = None
        self.metrics_address = None

    def __enter__(self):
        port_file = self.folder / "ports.json"
        port_file.unlink(missing_ok=True)
        self.log = open(self.folder / "server.log", "w+")
        self.process = subprocess.Popen(
            [SERVER, "--model", self.model, "--listen", "127.0.0.1:0",
             "--metrics", "127.0.0.1:0", "--database", str(self.database),
             "--port-file", str(port_file), *self.extra],
            stdout=self.log, stderr=subprocess.STDOUT)
        try:
            self._wait_for(port_file)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _wait_for(self, port_file):
        deadline = time.monotonic() + START_SECONDS
        while not (port_file.exists() and port_file.stat().st_size > 0):
            if self.process.poll() is not None:
                raise AssertionError("the server ended: " + self.logged())
            if time.monotonic() > deadline:
                raise AssertionError("the server is not up: " + self.logged())
            time.sleep(0.05)
        ports = json.loads(port_file.read_text())
        self.grpc = f"127.0.0.1:{ports['grpc']}"
        self.metrics_address = f"127.0.0.1:{ports['metrics']}"

    def logged(self):
        self.log.flush()
        return (self.folder / "server.log").read_text()

    def terminate(self):
        """SIGTERM; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def __exit__(self, *unused):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()

    def client(self, *arguments, check=True):
        """Runs the client against this server; returns its result."""
        done = subprocess.run(
            [CLIENT, *arguments, "--server", self.grpc], text=True,
            capture_output=True, timeout=240)
        if check and done.returncode != 0:
            raise AssertionError(
                f"client {arguments}: status {done.returncode}: {done.stderr}")
        return done

    def metrics(self):
        """{name: {labels as text: value}} of the metrics page."""
        url = f"http://{self.metrics_address}/metrics"
        with urllib.request.urlopen(url, timeout=30) as response:
            page = response.read().decode()
        values = {}
        for line in page.splitlines():
            if not line or line.startswith("#"):
                continue
            series, value = line.rsplit(" ", 1)
            name, _, labels = series.partition("{")
            values.setdefault(name, {})[labels.rstrip("}")] = float(value)
        return values
