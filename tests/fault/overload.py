"""More than a server takes: too many samples, too large requests, too long
prompts.

What must hold: what is refused is refused at once and costs nothing that lasts,
what was accepted ends, everybody else is served meanwhile, and the metrics have
counted what the database has. --short checks what does not depend on how busy
the machine is.
"""

import argparse
import json
import sqlite3
import sys
import tempfile

from fault_server import Table, client
from load_server import Load, LoadedServer, submit, wait_for

MIB = 1 << 20
CAP = 8 * MIB       # of a message
BUFFERS = 256 * MIB  # of all connections
RESOURCE_EXHAUSTED, INVALID_ARGUMENT = "8", "3"


def query(server, sql):
    with sqlite3.connect(f"file:{server.database}?mode=ro", uri=True) as db:
        return db.execute(sql).fetchall()


def open_samples(server):
    return query(server, "SELECT count(*) FROM samples "
                         "WHERE state IN ('queued', 'running')")[0][0]


def full_queue(server, table, limit, timed):
    """Ten times what the queue has room for, all at once."""
    blocker = submit(server, 1, 150, policies="h2o", budgets="0.2")
    wait_for(lambda: open_samples(server) == 1)
    load = Load(server, "submit", "--samples", 10 * limit, "--connections", 10)
    seen = load.result()
    in_time = open_samples(server) == limit  # the first one still runs
    outcomes = seen["outcomes"]
    accepted = (outcomes.get("OUTCOME_ACCEPTED") or {}).get("count", 0) + 1
    full = outcomes.get("OUTCOME_QUEUE_FULL") or {"count": 0, "p99": 0}
    table.row(f"{10 * limit} for a queue of {limit}: accepted", accepted,
              str(limit), accepted == limit and in_time)
    table.row("  told that it is full", full["count"], str(9 * limit + 1),
              full["count"] == 9 * limit + 1)
    if timed:
        table.row("  after, p99, ms", f"{full['p99']:.0f}", "≤ 50",
                  full["p99"] <= 50)
    for run in (blocker, seen["run"]):
        client(server, "watch", run, "--json")
    done = query(server, "SELECT count(*) FROM samples WHERE state = 'done'")
    table.row("  accepted ones that were done", done[0][0], str(limit),
              done[0][0] == limit)


def flood(server, table, name, code, timed, calls, *arguments, growth=None,
          spares_others=True):
    """Calls that are refused, beside somebody who asks after a run."""
    run = query(server, "SELECT run_id FROM runs")[0][0]
    server.reset_peak()
    before = server.resident()
    events = query(server, "SELECT sum(last_sequence) FROM runs")
    seen = Load(server, "flood", run, "--calls", calls, *arguments).result()
    grown = max(0, server.peak() - before)
    refused = seen["codes"].get(code, 0)
    table.row(f"{name}: refused", refused, str(calls), refused == calls)
    if timed:
        table.row("  after, p99, ms", f"{seen['ms']['p99']:.1f}")
        table.row("  others wait meanwhile, p99, ms",
                  f"{seen['bystander']['ms']['p99']:.1f}")
    table.row("  memory at most, more, MiB", f"{grown / MIB:.1f}",
              f"≤ {growth / MIB:.0f}" if growth else "–",
              not growth or grown <= growth)
    others = seen["bystander"]["failed"]
    table.row("  others' calls that failed", others,
              "0" if spares_others else "–", others == 0 or not spares_others)
    same = events == query(server, "SELECT sum(last_sequence) FROM runs")
    table.row("  nothing was computed", "yes" if same else "no", "yes", same)


def prompt_lengths(server, run):
    return query(server, f"""
        SELECT samples.state, error_reason, prompt_tokens, raw_prompt_tokens,
               truncated FROM samples JOIN runs ON runs.id = samples.run
        WHERE run_id = '{run}'""")[0]


def long_prompts(folder, server, table):
    """Exactly as long as is allowed, and one token more."""

    def ask(sample, limit, template="none"):
        path = folder / "sample.jsonl"
        path.write_text(json.dumps(sample) + "\n")
        run = client(server, "submit", "--jsonl", str(path), "--detach",
                     "--chat-template", template, "--max-new-tokens", "1",
                     "--max-prompt-tokens", str(limit), "--policies", "h2o",
                     "--budgets", "0.2").strip()
        client(server, "watch", run, "--json")
        return prompt_lengths(server, run)

    text = {"_id": "a", "input": "one two three four five six seven eight"}
    chat = {"_id": "a", "messages": [{"role": "user", "content": "one two"}]}
    length = ask(text, 1000)[2]
    state = ask(text, length)
    fits = state == ("done", None, length, length, 0)
    table.row("a prompt of the limit's length: as it is",
              "yes" if fits else state, "yes", fits)
    state = ask(text, length - 1)
    cut = state[0] == "done" and state[2] <= length - 1 and state[4] == 1
    table.row("  one token longer: its middle is cut out",
              "yes" if cut else state, "yes", cut)
    length = ask(chat, 1000, "chatml")[2]
    state = ask(chat, length, "chatml")
    table.row("a chat of the limit's length", state[0], "done",
              state[0] == "done")
    state = ask(chat, length - 1, "chatml")
    table.row("  one token longer", state[1], "PROMPT_TOO_LONG",
              state[:2] == ("failed", "PROMPT_TOO_LONG"))


def counters(server, table):
    """What the metrics have counted, and what the database has."""
    metrics = server.metrics()
    of = {outcome: int(metrics[
        f'kvrecall_samples_total{{outcome="{outcome}"}}'])
        for outcome in ("ok", "length", "failed", "cancelled", "deadline")}
    recorded = dict(query(server, """
        SELECT CASE WHEN error_reason = 'DEADLINE_EXCEEDED' THEN 'deadline'
                    WHEN state IN ('failed', 'cancelled') THEN state
                    WHEN finish_reason = 'eos' THEN 'ok' ELSE 'length' END,
               count(*) FROM samples GROUP BY 1"""))
    recorded = {outcome: recorded.get(outcome, 0) for outcome in of}
    table.row("samples by outcome",
              " ".join(map(str, of.values())),
              " ".join(map(str, recorded.values())), of == recorded)
    accepted = int(metrics['kvrecall_admissions_total{result="accepted"}'])
    samples = query(server, "SELECT count(*) FROM samples")[0][0]
    table.row("samples accepted", accepted, str(samples), accepted == samples)
    counted = int(metrics["kvrecall_records_committed_total"])
    events = query(server, "SELECT sum(last_sequence) FROM runs")[0][0]
    table.row("events committed", counted, str(events), counted == events)
    steps = query(server, "SELECT count(*) FROM steps")[0][0]
    tokens = int(metrics['kvrecall_generation_tokens_total{task="custom"}'])
    table.row("steps", tokens, str(steps), tokens == steps)
    prompts = query(server, "SELECT sum(prompt_tokens) FROM samples")[0][0]
    tokens = int(metrics['kvrecall_prompt_tokens_total{task="custom"}'])
    table.row("prompt tokens", tokens, str(prompts), tokens == prompts)
    left = (metrics["kvrecall_samples_waiting"],
            metrics["kvrecall_queue_tokens"],
            metrics["kvrecall_samples_running"])
    table.row("samples, tokens that wait; that run", left,
              "(0.0, 0.0, 0.0)", left == (0, 0, 0))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--queue", type=int, default=None)
    options = parser.parse_args()
    timed = not options.short
    limit = options.queue or (100 if timed else 20)
    table = Table()
    with tempfile.TemporaryDirectory(prefix="kvrecall_overload_") as folder:
        server = LoadedServer(folder, "overload", delay_ms=20,
                              extra=["--max-queue", str(limit)])
        full_queue(server, table, limit, timed)
        flood(server, table, "a text of 100 MB", RESOURCE_EXHAUSTED, timed, 3,
              "--text-bytes", 100_000_000, growth=BUFFERS)
        if timed:
            flood(server, table, "a text of 800 MB", RESOURCE_EXHAUSTED, timed,
                  1, "--text-bytes", 800_000_000, growth=1.5 * BUFFERS,
                  spares_others=False)
        flood(server, table, "a million samples in one call",
              INVALID_ARGUMENT, timed, 3, "--empty-samples", 1_000_000,
              growth=2 * CAP)
        calls = 15_625 if timed else 500
        flood(server, table, f"{calls} calls of 64 empty samples",
              INVALID_ARGUMENT, timed, calls, "--empty-samples", 64)
        long_prompts(server.database.parent, server, table)
        counters(server, table)
        status = server.stop()
        table.row("exit", status, "0", status == 0)
    return table.exit_status()


if __name__ == "__main__":
    sys.exit(main())
