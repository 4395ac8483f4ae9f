"""What two databases have of a study, record by record.

Read with SQLite alone, and whatever columns the schema has: a new one is compared
without a word here. Of times, names, attempts and the database's own keys two
computations of the same study may differ, and of nothing else.
"""

import json
import sqlite3

# Of `samples`.
OWN = {"id", "run", "attempt", "recorded_attempt", "epoch", "submitted_us",
       "leased_us", "ended_us", "queue_seconds", "prefill_seconds",
       "decode_seconds", "crashes", "reused_from", "owner"}
# Of the details of `sample_events`.
OWN_DETAILS = {"queue_seconds", "prefill_seconds", "decode_seconds",
               "reused_from"}
KEYS = {"run", "sequence", "sample", "attempt"}


def columns(db, table, without):
    names = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
    return ", ".join(f"{table}.{name}" for name in names if name not in without)


def only_run(database):
    """The name of the database's run, which is the only one."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
        (name,), = db.execute("SELECT run_id FROM runs")
    return name


def study(database, run_id):
    """{table: rows} of the attempts that count, in the order of the study."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
        (run,), = db.execute("SELECT id FROM runs WHERE run_id = ?", (run_id,))

        def rows(query):
            return db.execute(query, (run,)).fetchall()

        counted = ("JOIN samples ON samples.id = {0}.sample "
                   "AND samples.recorded_attempt = {0}.attempt "
                   "WHERE {0}.run = ? ORDER BY samples.ordinal, {0}.sequence")
        of_steps = ("JOIN steps ON steps.run = {0}.run "
                    "AND steps.sequence = {0}.sequence "
                    "JOIN samples ON samples.id = steps.sample "
                    "AND samples.recorded_attempt = steps.attempt "
                    "WHERE {0}.run = ? "
                    "ORDER BY samples.ordinal, steps.sequence, {0}.{1}")
        tables = {
            "runs": rows("SELECT state, config, provenance, complete, "
                         "samples_submitted, samples_done, samples_failed "
                         "FROM runs WHERE id = ?"),
            "samples": rows(
                f"SELECT {columns(db, 'samples', OWN)} FROM samples "
                "WHERE run = ? ORDER BY ordinal"),
            "sample_inputs": rows(
                "SELECT payload FROM sample_inputs JOIN samples ON "
                "samples.id = sample_inputs.sample WHERE run = ? "
                "ORDER BY ordinal"),
            "lanes": rows(f"SELECT {columns(db, 'lanes', KEYS)} FROM lanes "
                          "WHERE run = ? ORDER BY lane"),
            "gap_lanes": rows(
                f"SELECT {columns(db, 'gap_lanes', KEYS)} FROM gap_lanes "
                "WHERE run = ? ORDER BY gap"),
            "steps": rows(
                f"SELECT samples.sample_id, {columns(db, 'steps', KEYS)} "
                "FROM steps " + counted.format("steps")),
            "step_recalls": rows(
                "SELECT samples.sample_id, steps.step, "
                f"{columns(db, 'step_recalls', KEYS)} FROM step_recalls "
                + of_steps.format("step_recalls", "lane")),
            "step_gaps": rows(
                "SELECT samples.sample_id, steps.step, "
                f"{columns(db, 'step_gaps', KEYS)} FROM step_gaps "
                + of_steps.format("step_gaps", "gap")),
        }
        events = rows("SELECT samples.sample_id, kind, detail "
                      "FROM sample_events " + counted.format("sample_events"))
        tables["sample_events"] = [
            (sample, kind, {name: value for name, value in
                            json.loads(detail).items()
                            if name not in OWN_DETAILS})
            for sample, kind, detail in events]
    return tables


def in_order(database, run_id):
    """Whether the run's events are dense and in the order of its samples."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
        (run, last), = db.execute(
            "SELECT id, last_sequence FROM runs WHERE run_id = ?", (run_id,))
        places = db.execute("""
            SELECT event.sequence, coalesce(ordinal, 1 << 60) FROM (
              SELECT run, sequence, sample FROM steps UNION ALL
              SELECT run, sequence, sample FROM sample_events) AS event
            LEFT JOIN samples ON samples.id = event.sample
            WHERE event.run = ? ORDER BY event.sequence""", (run,)).fetchall()
    return ([sequence for sequence, _ in places] == list(range(1, last + 1))
            and sorted(place for _, place in places)
            == [place for _, place in places])


def compare(table, expected, actual, name):
    """A row of `table` for each kind of record, and what differs first."""
    for kind, wanted in expected.items():
        got = actual[kind]
        differing = (sum(a != b for a, b in zip(wanted, got))
                     + abs(len(wanted) - len(got)))
        table.row(f"{name}: {kind} that differ", differing,
                  f"0 of {len(wanted)}", differing == 0)
        if differing:
            pairs = [(a, b) for a, b in zip(wanted, got) if a != b]
            print(f"expected {len(wanted)}, got {len(got)}; first: {pairs[:1]}")
