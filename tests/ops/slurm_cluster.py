"""A Slurm of one node on this machine, with daemons and folders of its own."""

import os
import pathlib
import secrets
import socket
import subprocess
import time

from fault_server import free_port, start_process

# No cgroups, no accounting: what a container or a build machine has too. The node
# says that it has more processors than there may be.
CONFIG = """
ClusterName=kvrecall
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
SlurmdParameters=config_overrides
JobRequeue=1
KillWait=30
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


class Cluster:
    def __init__(self, folder, cpus):
        self.folder = pathlib.Path(folder)
        self.host = socket.gethostname().split(".")[0]
        self.folder.chmod(0o755)
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        self.config = self.folder / "slurm.conf"
        self.config.write_text(CONFIG.format(
            host=self.host, folder=self.folder, cpus=cpus,
            controller_port=free_port(), node_port=free_port()))
        self.environment = os.environ | {"SLURM_CONF": str(self.config)}
        self.daemons = []

    def __enter__(self):
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        self._start("munged", "--foreground", "--force",
                    f"--key-file={key}",
                    f"--socket={self.folder}/munge.socket",
                    f"--pid-file={self.folder}/munged.pid",
                    f"--log-file={self.folder}/munged.log",
                    f"--seed-file={self.folder}/munged.seed")
        self._wait(lambda: (self.folder / "munge.socket").exists(), "munged")
        self._start("slurmctld", "-D", "-f", str(self.config))
        self._start("slurmd", "-D", "-f", str(self.config), "-N", self.host)
        self._wait(lambda: "idle" in self.run(
            "sinfo", "-h", "-o", "%T", check=False), "the node")
        return self

    def _start(self, *command):
        log = open(self.folder / f"{command[0]}.out", "wb")
        self.daemons.append(start_process(
            command, stdout=log, stderr=log, env=self.environment))

    def _wait(self, holds, what, seconds=60):
        deadline = time.monotonic() + seconds
        while not holds():
            ended = [d.args[0] for d in self.daemons if d.poll() is not None]
            if ended or time.monotonic() > deadline:
                logs = "\n".join(
                    path.read_text(errors="replace")[-2000:]
                    for path in sorted(self.folder.glob("*.log")))
                raise SystemExit(f"{what} is not up ({ended} ended):\n{logs}")
            time.sleep(0.1)

    def __exit__(self, *unused):
        self.run("scancel", "--full", "--user", "root", check=False)
        deadline = time.monotonic() + 40
        while (self.run("squeue", "-h", check=False)
               and time.monotonic() < deadline):
            time.sleep(0.2)
        for daemon in reversed(self.daemons):
            daemon.terminate()
            try:
                daemon.wait(timeout=20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def run(self, *command, check=True, timeout=60):
        done = subprocess.run(command, env=self.environment, text=True,
                              capture_output=True, timeout=timeout)
        if check and done.returncode != 0:
            raise SystemExit(f"{command}: {done.stderr}")
        return done.stdout.strip()

    def job(self, name):
        """What Slurm knows of the job, or task "JOB_TASK"."""
        text = self.run("scontrol", "-o", "show", "job", name)
        return dict(field.split("=", 1) for field in text.split()
                    if "=" in field)
