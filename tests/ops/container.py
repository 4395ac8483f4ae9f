"""An image of tests/ops/dockerfile.py as a container engine would run it: its own
network, its user, its volumes, and nothing else to write to."""

import os
import signal
import subprocess
import time

from dockerfile import Root, run


class Container:
    """A root that only its volumes and /tmp can be written in, and a network of
    its own, until close."""

    def __init__(self, folder, stage, arguments=None):
        self.config = stage.config
        self.command = self.config.entrypoint + (
            self.config.command if arguments is None else arguments)
        self.root = Root(folder, stage.layers)
        self._protect(folder)
        # Its network is that of a process that waits for the end of its input.
        self.network = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && cat"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.network.stdout.readline() == "up\n"
        self.main = None

    def _protect(self, folder):
        volumes = {}
        for path in self.config.volumes:
            # A new volume begins with the owner that the image gives its folder.
            inside = os.stat(self.root.path + path)
            volumes[path] = os.path.join(folder, "volume" + path.replace("/", "-"))
            os.makedirs(volumes[path])
            os.chown(volumes[path], inside.st_uid, inside.st_gid)
        self.root.mount_system()
        run(["mount", "-o", "remount,ro", self.root.path])
        run(["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs",
             os.path.join(self.root.path, "tmp")])
        for path, outside in volumes.items():
            run(["mount", "--bind", outside, self.root.path + path])
        self.volumes = volumes

    def argv(self, argv, environment=None):
        return (["nsenter", f"--net=/proc/{self.network.pid}/ns/net"]
                + self.config.chroot(self.root.path, argv, environment))

    def call(self, argv, environment=None):
        """Status and what it wrote, as `docker exec` has them."""
        done = subprocess.run(self.argv(argv, environment), text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        return done.returncode, done.stdout

    def start(self, log):
        """The image's own command; what it writes goes to the file `log`."""
        with open(log, "wb") as file:
            self.main = subprocess.Popen(self.argv(self.command), stdout=file,
                                         stderr=file, stdin=subprocess.DEVNULL)

    def healthy(self):
        return self.call(self.config.health)[0] == 0

    def wait_until_healthy(self, seconds):
        deadline = time.monotonic() + seconds
        while not self.healthy():
            if self.main.poll() is not None or time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        return True

    def stop(self):
        """Exit status after the image's stop signal. nsenter, chroot and env each
        give way to what they start, so the process is the program itself."""
        self.main.send_signal(getattr(signal, self.config.stop_signal))
        return self.main.wait(timeout=60)

    def close(self):
        if self.main is not None and self.main.poll() is None:
            self.main.kill()
            self.main.wait()
        self.network.stdin.close()
        self.network.wait()
        self.root.unmount()
