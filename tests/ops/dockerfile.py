"""Runs a Dockerfile's steps in roots of their own, without a container engine.

Reads the instructions that our Dockerfile uses, refuses others, and follows
Docker's reference: global ARGs count in FROM, a stage's ARGs and ENVs in its RUNs,
COPY yields files of root, only stages that the target needs are run. A stage is an
overlay over the one that it comes from; what FROM takes from a registry is a folder
that the caller names. Needs root and a mount namespace of its own, in which what is
mounted here goes away by itself.
"""

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import time


class Refused(Exception):
    """What the Dockerfile has and this program cannot do."""


def instructions(text):
    """[(NAME, rest)] with continued lines joined and comments left out."""
    found, pending = [], ""
    for line in text.splitlines():
        if line.lstrip().startswith("#") or (not line.strip() and not pending):
            continue
        pending += line
        if pending.endswith("\\"):
            pending = pending[:-1]
            continue
        name, _, rest = pending.strip().partition(" ")
        found.append((name.upper(), rest.strip()))
        pending = ""
    return found


def substituted(text, variables):
    """${NAME} and $NAME as Docker replaces them; unknown ones are empty."""
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))",
                  lambda m: variables.get(m[1] or m[2], ""), text)


def ignored(path, patterns):
    """Whether .dockerignore leaves a file out: by its name or by a folder's."""
    parts = path.split("/")
    for pattern in patterns:
        for end in range(1, len(parts) + 1):
            head = "/".join(parts[:end])
            if fnmatch.fnmatch(head, pattern):
                return True
            if pattern.startswith("**/") and fnmatch.fnmatch(parts[end - 1],
                                                             pattern[3:]):
                return True
    return False


def context_files(context):
    """The files of a folder that COPY may take."""
    patterns = []
    path = os.path.join(context, ".dockerignore")
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            patterns = [line.strip().rstrip("/") for line in file
                        if line.strip() and not line.startswith("#")]
    files = []
    for folder, _, names in os.walk(context):
        for name in names:
            relative = os.path.relpath(os.path.join(folder, name), context)
            if not ignored(relative, patterns):
                files.append(relative)
    return sorted(files)


def run(argv, **keywords):
    subprocess.run(argv, check=True, **keywords)


class Root:
    """An overlay that can be changed to: `layers` from the top down, below them
    nothing."""

    def __init__(self, folder, layers):
        self.path = os.path.join(folder, "root")
        self.upper = os.path.join(folder, "upper")
        self.layers = layers
        work = os.path.join(folder, "work")
        for path in (self.path, self.upper, work):
            os.makedirs(path)
        run(["mount", "-t", "overlay", "overlay", "-o",
             f"lowerdir={':'.join(layers)},upperdir={self.upper},workdir={work}",
             self.path])

    def mount_system(self):
        """/proc, /dev and the network's names, as a container has them."""
        for name in ("proc", "dev", "tmp"):
            os.makedirs(os.path.join(self.path, name), exist_ok=True)
        run(["mount", "-t", "proc", "proc", os.path.join(self.path, "proc")])
        dev = os.path.join(self.path, "dev")
        run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", dev])
        for name in ("null", "zero", "full", "random", "urandom"):
            open(os.path.join(dev, name), "wb").close()
            run(["mount", "--bind", "/dev/" + name, os.path.join(dev, name)])
        for link, to in (("fd", "/proc/self/fd"), ("stdin", "fd/0"),
                         ("stdout", "fd/1"), ("stderr", "fd/2")):
            os.symlink(to, os.path.join(dev, link))
        os.makedirs(os.path.join(dev, "shm"))
        run(["mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs",
             os.path.join(dev, "shm")])
        for name in ("resolv.conf", "hosts"):
            path = os.path.join(self.path, "etc", name)
            if not os.path.exists(path):
                open(path, "wb").close()
            run(["mount", "--bind", "/etc/" + name, path])

    def share(self, path, folder):
        """Lets `folder` of the machine be seen at `path`."""
        inside = self.path + path
        os.makedirs(inside, exist_ok=True)
        run(["mount", "--bind", folder, inside])

    def unmount(self):
        run(["umount", "-R", self.path])


class Config:
    """What an image says beside its files."""

    def __init__(self, other=None):
        self.environment = dict(other.environment) if other else {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        self.user = other.user if other else "0:0"
        self.folder = other.folder if other else "/"
        self.entrypoint = list(other.entrypoint) if other else []
        self.command = list(other.command) if other else []
        self.volumes = list(other.volumes) if other else []
        self.ports = list(other.ports) if other else []
        self.health = other.health if other else None
        self.stop_signal = other.stop_signal if other else "SIGTERM"

    def chroot(self, root, argv, environment=None):
        """The command line that runs `argv` in it as a container engine would."""
        user, group = (self.user.split(":") + [self.user])[:2]
        both = dict(self.environment, **(environment or {}))
        return (["chroot", f"--userspec={user}:{group}", "--groups=", root,
                 "/usr/bin/env", "-i", f"--chdir={self.folder}"]
                + [f"{name}={value}" for name, value in both.items()] + argv)


class Stage:
    def __init__(self, name, source):
        self.name, self.source = name, source
        self.steps = []
        self.config = None
        self.layers = None  # from the top down, once it was run

    def needs(self):
        """Other stages that it takes files from."""
        found = [self.source]
        for name, rest in self.steps:
            if name == "COPY":
                found += re.findall(r"--from=(\S+)", rest)
        return found


class Build:
    """One Dockerfile with its arguments. `bases`: folders by the names that FROM
    has for them. `shared`: folders of the machine by their paths in the stages,
    such as a compiler's cache, which no image holds."""

    def __init__(self, dockerfile, context, bases, arguments, work, shared=None):
        self.context, self.bases, self.work = context, bases, work
        self.shared = shared or {}
        self.arguments = arguments
        self.stages = {}
        self.globals = {}
        with open(dockerfile, encoding="utf-8") as file:
            self._read(file.read())

    def _read(self, text):
        stage = None
        for name, rest in instructions(text):
            if name == "FROM":
                words = substituted(rest, self.globals).split()
                if len(words) != 3 or words[1].upper() != "AS":
                    raise Refused(f"FROM {rest}: a stage without a name")
                stage = self.stages[words[2]] = Stage(words[2], words[0])
            elif stage is not None:
                stage.steps.append((name, rest))
            elif name == "ARG":
                key, _, value = rest.partition("=")
                self.globals[key] = self.arguments.get(key, value)
            else:
                raise Refused(f"{name} before the first FROM")

    def run(self, target):
        """Runs what `target` needs, and returns its Stage."""
        if target in self.bases:
            base = Stage(target, None)
            base.config, base.layers = Config(), [self.bases[target]]
            return base
        if target not in self.stages:
            raise Refused(f"{target} is neither a stage nor an image that there is")
        stage = self.stages[target]
        if stage.layers is not None:
            return stage
        source = self.run(stage.source)
        for other in stage.needs()[1:]:
            self.run(other)
        print(f"--- stage {stage.name} (from {stage.source})", flush=True)
        stage.config = Config(source.config)
        root = Root(os.path.join(self.work, stage.name), source.layers)
        arguments = {}
        for name, rest in stage.steps:
            self._step(stage, root, arguments, name, rest)
        root.unmount()
        stage.layers = [root.upper] + source.layers
        return stage

    def _step(self, stage, root, arguments, name, rest):
        config = stage.config
        values = dict(arguments, **config.environment)
        if name == "ARG":
            key, _, value = rest.partition("=")
            arguments[key] = self.arguments.get(
                key, value if value else self.globals.get(key, ""))
        elif name == "ENV":
            for word in shlex.split(rest):
                key, _, value = word.partition("=")
                config.environment[key] = substituted(value, values)
        elif name == "WORKDIR":
            config.folder = os.path.join(config.folder, substituted(rest, values))
            os.makedirs(root.path + config.folder, exist_ok=True)
        elif name == "USER":
            config.user = rest
        elif name in ("ENTRYPOINT", "CMD", "VOLUME"):
            kind = {"ENTRYPOINT": "entrypoint", "CMD": "command",
                    "VOLUME": "volumes"}[name]
            setattr(config, kind, json.loads(rest))
        elif name == "EXPOSE":
            config.ports = [int(word) for word in rest.split()]
        elif name == "STOPSIGNAL":
            config.stop_signal = rest
        elif name == "HEALTHCHECK":
            config.health = json.loads(rest[rest.index("CMD") + len("CMD"):])
        elif name == "COPY":
            self._copy(root, config, substituted(rest, values))
        elif name == "RUN":
            self._run(root, config, values, rest)
        else:
            raise Refused(f"{name}: not an instruction that this program knows")

    def _run(self, root, config, values, command):
        print(f"RUN {command}", flush=True)
        root.mount_system()
        for path, folder in self.shared.items():
            root.share(path, folder)
        start = time.monotonic()
        try:
            run(config.chroot(root.path, ["/bin/sh", "-c", command], values),
                stdin=subprocess.DEVNULL)
        finally:
            for name in ("proc", "dev", "etc/resolv.conf", "etc/hosts"):
                run(["umount", "-R", os.path.join(root.path, name)])
            for path in self.shared:
                run(["umount", root.path + path])
        print(f"    {time.monotonic() - start:.0f} s", flush=True)

    def _copy(self, root, config, rest):
        words = rest.split()
        source_stage = None
        while words[0].startswith("--"):
            option, _, value = words.pop(0).partition("=")
            if option != "--from":
                raise Refused(f"COPY {option}")
            source_stage = self.stages[value]
        print(f"COPY {rest}", flush=True)
        sources, target = words[:-1], words[-1]
        into = os.path.normpath(
            root.path + os.path.join(config.folder, target))
        is_folder = target.endswith("/") or target == "."
        if source_stage is None:
            self._copy_context(sources, into, is_folder)
            return
        # Read through an overlay of its own, which is thrown away.
        scratch = os.path.join(self.work, f"copy-{time.monotonic_ns()}")
        view = Root(scratch, source_stage.layers)
        for source in sources:
            path = view.path + source
            if os.path.isdir(path):
                os.makedirs(into, exist_ok=True)
                run(["cp", "-a", path.rstrip("/") + "/.", into])
            else:
                os.makedirs(into if is_folder else os.path.dirname(into),
                            exist_ok=True)
                run(["cp", "-a", path, into])
        view.unmount()
        shutil.rmtree(scratch)

    def _copy_context(self, sources, into, is_folder):
        files = context_files(self.context)
        for source in sources:
            source = os.path.normpath(source)
            taken = [f for f in files if source == "." or f == source
                     or f.startswith(source + "/")]
            if not taken:
                raise Refused(f"COPY {source}: there is no such file in the "
                              "context, or .dockerignore leaves it out")
            for name in taken:
                if name == source:
                    to = os.path.join(into, os.path.basename(name)) \
                        if is_folder else into
                else:
                    to = os.path.join(into, os.path.relpath(name, source))
                os.makedirs(os.path.dirname(to), exist_ok=True)
                shutil.copy(os.path.join(self.context, name), to,
                            follow_symlinks=False)
                os.chown(to, 0, 0, follow_symlinks=False)
