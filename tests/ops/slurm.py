"""A study on Slurm, with a server killed and a task queued again half-way.

What must hold: the array ends well by itself, the dependent job joins it, and
what it makes is record by record what one server makes of the whole study.
"""

import argparse
import os
import pathlib
import signal
import sqlite3
import sys
import tempfile
import time

from fault_server import Server, Table, client
from records import compare, in_order, only_run, study
from slurm_cluster import Cluster

ROOT = pathlib.Path(__file__).resolve().parents[2]
# All of it, so that there is time to disturb a shard half-way.
OPTIONS = ["--task", "demo", "--policies", "all", "--scopes",
           "global,layer,head", "--budgets", "0.1,0.2", "--gap"]


def progress(database):
    """Samples, and how many are done; none where there is no database yet."""
    try:
        with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
            return db.execute("SELECT count(*), total(state = 'done') "
                              "FROM samples").fetchone()
    except sqlite3.OperationalError:
        return 0, 0


def wait_for(holds, what, seconds=180, interval=0.002):
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: not within {seconds} s")
        time.sleep(interval)


def half_way(database):
    samples, done = progress(database)
    return samples > 0 and done >= samples // 2


def server_of(database):
    """The id of the process that has the database."""
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if (words[0].endswith(b"kvrecall-server")
                and str(database).encode() in words):
            return int(process.name)
    raise SystemExit(f"nobody serves {database}")


def begin_again(cluster, tasks):
    """Slurm has what was queued again wait for two minutes; here it begins.

    Not in the second that it ended in: what it had may not be used again then.
    """
    for task in tasks:
        wait_for(lambda: cluster.job(task)["JobState"] == "PENDING",
                 f"{task} is queued again", interval=0.2)
    time.sleep(3)
    for task in tasks:
        cluster.run("scontrol", "update", f"jobid={task}", "StartTime=now")


def tail(*logs):
    return "\n".join(f"--- {path.name}\n{path.read_text()[-3000:]}"
                     for path in sorted(logs))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=4)
    options = parser.parse_args()
    if options.shards < 4:
        parser.error("--shards: at least 4, three of which are disturbed")
    table = Table()

    with tempfile.TemporaryDirectory(prefix="kvrecall_slurm_") as folder:
        folder = pathlib.Path(folder)
        alone = Server(folder / "alone.db", model="nano",
                       extra=["--threads", "1"], log=folder / "alone.log")
        alone.start()
        client(alone, "submit", *OPTIONS)
        alone.stop()
        expected = study(alone.database, only_run(alone.database))
        (folder / "slurm").mkdir()
        with Cluster(folder / "slurm", cpus=options.shards) as cluster:
            made = folder / "study"
            started = time.monotonic()
            told = cluster.run(
                str(ROOT / "deploy/slurm/study.sh"), "--shards",
                str(options.shards), "--folder", str(made), "--server",
                "--model", "--server", "nano", "--", *OPTIONS)
            print(told)
            array = told.split()[2].rstrip(",")
            merge = told.split("; job ")[1].split()[0]

            databases = [made / f"shard-{i}.db" for i in range(options.shards)]
            disturbances = {
                1: lambda: os.kill(server_of(databases[1]), signal.SIGKILL),
                2: lambda: cluster.run("scontrol", "requeue", f"{array}_2"),
                # What Slurm sends two minutes before the time limit.
                3: lambda: cluster.run("scancel", "--signal=USR1", "--batch",
                                       f"{array}_3"),
            }
            disturbed = {}

            def disturb():
                for i, do in disturbances.items():
                    if i not in disturbed and half_way(databases[i]):
                        do()
                        disturbed[i] = progress(databases[i])
                return len(disturbed) == len(disturbances)

            wait_for(disturb, "half of the shards that are disturbed")
            begin_again(cluster, [f"{array}_2", f"{array}_3"])

            ended = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT",
                     "NODE_FAIL", "OUT_OF_MEMORY")
            wait_for(lambda: cluster.job(merge)["JobState"] in ended,
                     "the dependent job", 300, interval=0.2)
            seconds = time.monotonic() - started
            tasks = [cluster.job(f"{array}_{i}")
                     for i in range(options.shards)]
            well = sum(task["JobState"] == "COMPLETED" for task in tasks)
            joined = cluster.job(merge)["JobState"]

            table.row("tasks that ended well", well, str(options.shards),
                      well == options.shards)
            table.row("the job that joins them", joined, "COMPLETED",
                      joined == "COMPLETED")
            for i, what in ((1, "its server was killed"),
                            (2, "it was queued again"),
                            (3, "its time was up")):
                samples, done = disturbed[i]
                table.row(f"shard {i}: done when {what}",
                          f"{done:.0f} of {samples}", "", done < samples)
            again = "starting another" in (
                made / f"slurm-{array}_1.log").read_text()
            table.row("shard 1: another server was started",
                      "yes" if again else "no", "yes", again)
            for i in (2, 3):
                restarts = int(tasks[i]["Restarts"])
                table.row(f"shard {i}: begun again, times", restarts, "1",
                          restarts == 1)
            if joined != "COMPLETED" or table.broken:
                print(tail(*made.glob("slurm-*.log"),
                           folder / "slurm/slurmctld.log"), file=sys.stderr)
                return table.exit_status() or 1
            parts = [progress(database)[0] for database in databases]
            runs = [sqlite3.connect(database).execute(
                "SELECT count(*) FROM runs").fetchone()[0]
                for database in databases]
            table.row("samples of each shard", parts, "", min(parts) > 0)
            table.row("runs of each shard", runs, "1", set(runs) == {1})
            result = made / "study.db"
            run = only_run(result)
            compare(table, expected, study(result, run), "study.db")
            dense = in_order(result, run)
            table.row("sequences dense, in the study's order",
                      "yes" if dense else "no", "yes", dense)
            table.row("seconds, from submission to study.db", f"{seconds:.1f}")
    return table.exit_status()


if __name__ == "__main__":
    sys.exit(main())
