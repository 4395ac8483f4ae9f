"""Podman with images, containers and settings of its own. Needs root, and a mount
namespace that ends with it."""

import json
import os
import subprocess

# No limits that only a privileged process may raise. Docker's runtime: it knows
# every layout of cgroups.
SETTINGS = """\
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
lock_type = "file"
"""
RUN = "/run/kvrecall-podman"  # short: there are sockets below it


class Podman:
    """Keeps its images in `folder`, which must be new. To be closed."""

    def __init__(self, folder):
        os.makedirs(folder)
        # Podman refuses a store that it knows with another run-time folder, and a
        # run-time folder that outlives a boot.
        os.makedirs(RUN, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", RUN], check=True)
        settings = os.path.join(RUN, "containers.conf")
        with open(settings, "w", encoding="utf-8") as file:
            file.write(SETTINGS)
        # Health checks are asked for; systemd is not to repeat them.
        self._environment = dict(os.environ, CONTAINERS_CONF=settings,
                                 DISABLE_HC_SYSTEMD="true")
        self._argv = ["podman", "--log-level=error",
                      "--root", os.path.join(folder, "store"),
                      "--runroot", RUN + "/run", "--tmpdir", RUN + "/tmp"]

    def start(self, *arguments, **keywords):
        """A running `podman ARGUMENTS`."""
        return subprocess.Popen([*self._argv, *arguments], env=self._environment,
                                text=True, **keywords)

    def call(self, *arguments, seconds=300):
        """Exit status, output, and what was said of errors."""
        done = subprocess.run([*self._argv, *arguments], env=self._environment,
                              text=True, errors="replace", timeout=seconds,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, check=False)
        return done.returncode, done.stdout, done.stderr

    def must(self, *arguments):
        """The output; an error unless it ended with 0."""
        status, said, errors = self.call(*arguments)
        if status != 0:
            raise SystemExit(f"podman {' '.join(arguments)} ended with {status}: "
                             f"{(said + errors)[-2000:]}")
        return said

    def import_root(self, root, name):
        """The image `name` of a folder that holds a file system."""
        with subprocess.Popen(["tar", "-C", root, "-c", "."],
                              stdout=subprocess.PIPE) as tar:
            done = subprocess.run([*self._argv, "import", "-q", "-", name],
                                  env=self._environment, stdin=tar.stdout,
                                  stdout=subprocess.DEVNULL, check=False)
            tar.stdout.close()  # or tar would wait for who reads
        if tar.returncode != 0 or done.returncode != 0:
            raise SystemExit(f"{root} did not become the image {name}")

    def inspect(self, kind, name):
        """What `podman KIND inspect` knows of it."""
        return json.loads(self.must(kind, "inspect", name))[0]

    def close(self):
        """Ends its containers."""
        self.call("container", "rm", "--all", "--force", "--volumes")
