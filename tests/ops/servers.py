"""A study that three servers share, one of them killed half-way.

What must hold: the client goes on by itself once the server is back, and ends
well; what the three have, merged, is record by record what one server makes of
the whole study. And where a server never comes back, submitting again to the
others computes nothing but what they lack.
"""

import argparse
import pathlib
import sqlite3
import subprocess
import sys
import tempfile
import time

from fault_server import CLIENT, Server, Table, client, start_process
from records import compare, in_order, only_run, study

OPTIONS = ["--task", "demo", "--policies", "h2o,h2o_evict@entropy(1),random",
           "--scopes", "global,layer", "--budgets", "0.2", "--gap"]


def count(database, query):
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
        return db.execute(query).fetchone()[0]


def done(database):
    return count(database, "SELECT count(*) FROM samples WHERE state = 'done'")


def wait_until(holds, what, seconds=120):
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise SystemExit(f"{what}: not within {seconds} s")
        time.sleep(0.002)


def merge(folder, name, *databases):
    done = subprocess.run(
        [CLIENT, "merge", *map(str, databases), "-o", str(folder / name)],
        text=True, capture_output=True, timeout=300)
    if done.returncode != 0:
        raise SystemExit(f"merge: {done.returncode}: {done.stderr}")
    return folder / name, done.stdout.strip(), done.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=50,
                        help="samples of the demo task")
    parser.add_argument("--model", default="nano")
    options = parser.parse_args()
    submit = ["submit", *OPTIONS, "--limit", str(options.limit)]
    table = Table()

    with tempfile.TemporaryDirectory(prefix="kvrecall_servers_") as folder:
        folder = pathlib.Path(folder)

        def server(name):
            # With a thread each, as on machines of their own.
            return Server(folder / f"{name}.db", model=options.model,
                          extra=["--threads", "1"], log=folder / f"{name}.log",
                          environment={"OMP_WAIT_POLICY": "passive"})

        alone = server("alone")
        alone.start()
        client(alone, *submit)
        alone_end = alone.stop()
        whole = only_run(alone.database)
        expected = study(alone.database, whole)
        table.row("samples", len(expected["samples"]), str(options.limit),
                  len(expected["samples"]) == options.limit)
        table.row("steps", len(expected["steps"]))

        three = [server(name) for name in ("a", "b", "c")]
        for one in three:
            one.start()
        addresses = ",".join(one.address for one in three)
        started = time.monotonic()
        submission = start_process(
            [CLIENT, *submit, "--server", addresses], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        victim = three[1]
        share = "SELECT count(*) FROM samples"
        wait_until(lambda: victim.database.exists()
                   and count(victim.database, share) > 0, "b has samples")
        of_victim = count(victim.database, share)
        wait_until(lambda: done(victim.database) >= of_victim // 2, "half-way")
        victim.kill()
        before = done(victim.database)
        time.sleep(1)
        victim.start()
        out, err = submission.communicate(timeout=300)
        seconds = time.monotonic() - started
        table.row("samples of the server that was killed", of_victim)
        table.row("  done when it was killed", before,
                  f"< {of_victim}", before < of_victim)
        table.row("client's exit status", submission.returncode, "0",
                  submission.returncode == 0)
        told = "lost the connection" in err and "connected again" in err
        table.row("client told of the loss and the return",
                  "yes" if told else "no", "yes", told)
        all_done = f"samples     {options.limit} done" in out
        table.row("its table is of all samples", "yes" if all_done else "no",
                  "yes", all_done)
        ends = [one.stop() for one in three]
        table.row("servers' exit statuses", [alone_end, *ends], "0",
                  [alone_end, *ends] == [0, 0, 0, 0])
        parts = [count(one.database, share) for one in three]
        table.row("samples of each server", parts, "> 0", min(parts) > 0)

        databases = [one.database for one in three]
        merged, run, _ = merge(folder, "merged.db", *databases)
        compare(table, expected, study(merged, run), "merged")
        dense = in_order(merged, run)
        table.row("merged: sequences dense, in the study's order",
                  "yes" if dense else "no", "yes", dense)
        again, run_again, told = merge(folder, "again.db", merged, databases[2],
                                       databases[0])
        same = (run_again == run and study(again, run) == study(merged, run)
                and f"{parts[0] + parts[2]} samples there more than once"
                in told)
        table.row("merged again with two of its parts", "same" if same
                  else "other", "same", same)

        # One is gone for good: its samples go to the others, which have the
        # rest.
        left = [three[0], three[2]]
        for one in left:
            one.start()
        addresses = ",".join(one.address for one in left)
        subprocess.run([CLIENT, *submit, "--server", addresses], check=True,
                       capture_output=True, timeout=300)
        computed = sum(count(one.database, """
            SELECT count(*) FROM samples WHERE state = 'done'
            AND reused_from IS NULL""") for one in left)
        computed -= parts[0] + parts[2]
        table.row("computed again without the server", computed,
                  str(of_victim), computed == of_victim)
        for one in left:
            one.stop()
        rest, run_rest, _ = merge(folder, "rest.db",
                                  *(one.database for one in left))
        compare(table, expected, study(rest, run_rest), "without it")
        table.row("seconds, from submission to table", f"{seconds:.1f}")
    return table.exit_status()


if __name__ == "__main__":
    sys.exit(main())
