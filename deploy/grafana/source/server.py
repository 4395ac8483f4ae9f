"""Server: what an operator looks at.

From top to bottom: is it well, how long do things take and why, what waits, what
fails, and then each part of the machine.
"""

from . import panels as p
from . import queries as q

LATENCIES = (
    ("Time to first token", "kvrecall_time_to_first_token_seconds",
     "From a sample's submission to its first step; waiting counts.",
     "samples"),
    ("Time between tokens", "kvrecall_inter_token_latency_seconds",
     "From one step of a sample to the next.", "steps"),
    ("Whole samples", "kvrecall_e2e_sample_latency_seconds",
     "From a sample's submission to its last record, of those that were run to "
     "their end.", "samples"),
)
MUST_STAY_0 = (
    ("kvrecall_nonfinite_values_total", "not finite"),
    ("kvrecall_sqlite_errors_total", "SQLite errors"),
    ("kvrecall_out_of_memory_total", "out of memory"),
    ("kvrecall_engine_restarts_total", "restarts"),
)
NO_SAMPLES = "no samples in this time"


def percentile_lines(histogram, shares=(0.5, 0.9, 0.95, 0.99)):
    return [*p.percentiles(q.percentile, histogram, shares=shares),
            p.Query(q.mean(histogram), "mean")]


def overview():
    failed = q.increase("kvrecall_samples_total", 'outcome="failed"')
    all_run = q.increase("kvrecall_samples_total", 'outcome!="cancelled"')
    first_token = "kvrecall_time_to_first_token_seconds"
    return p.Row("At a glance", [
        p.stat("Serving",
               "Whether each server takes new work. It does not while it "
               "starts or drains, or cannot write.",
               "none", [p.now(q.select("kvrecall_serving"), "{{instance}}")],
               mappings=[{"type": "value", "options": {
                   "0": {"text": "no", "color": p.RED, "index": 0},
                   "1": {"text": "yes", "color": p.GREEN, "index": 1}}}]),
        p.stat("Up", "Time since the process started.", "s",
               [p.now("time() - " + q.select("process_start_time_seconds"),
                      "{{instance}}")], decimals=1),
        p.stat("Tokens a second", "Generated tokens, one per decode step.",
               "suffix: tok/s",
               [p.Query(q.rate("kvrecall_generation_tokens_total"))],
               graph=True, decimals=1),
        p.stat("First token, p50 and p99",
               "Time to first token over the time shown.", "s",
               [p.now(f"histogram_quantile({share}, "
                      + q.increase(f"{first_token}_bucket", by=("le",)) + ")",
                      f"p{100 * share:g}") for share in (0.5, 0.99)],
               empty=NO_SAMPLES),
        p.stat("Failed",
               "Share of the samples that were run in the time shown, "
               "without those that were cancelled.",
               "percentunit", [p.now(q.ratio(failed, all_run))],
               decimals=2, empty=NO_SAMPLES,
               thresholds=p.thresholds((None, p.GREEN), (0.01, p.RED))),
        p.stat("Draining", "Whether the end of each server was asked for.",
               "none", [p.now(q.select("kvrecall_draining"), "{{instance}}")],
               mappings=[{"type": "value", "options": {
                   "0": {"text": "no", "color": p.GREEN, "index": 0},
                   "1": {"text": "yes", "color": p.ORANGE, "index": 1}}}]),
        p.stat("Must stay 0",
               "In the time shown: numbers that are not finite, statements of "
               "the database that failed, samples that ran out of memory, and "
               "starts of a server on the same database.",
               "short",
               [p.now(q.increase(metric), name)
                for metric, name in MUST_STAY_0],
               width=24, height=3, decimals=0,
               thresholds=p.thresholds((None, p.GREEN), (0.5, p.RED))),
    ])


def latency():
    made = []
    for title, histogram, description, counted in LATENCIES:
        made += [
            p.lines(f"{title}, percentiles", description, "s",
                    percentile_lines(histogram), height=8, step="15s",
                    legend="table", empty=NO_SAMPLES),
            p.heatmap(title, description, "s", q.heat(histogram), counted,
                      step="15s")]
    return p.Row("Latency", made)


def phases():
    step = "kvrecall_engine_step_seconds"
    of_sample = [("queue", "kvrecall_queue_time_seconds"),
                 ("prefill", "kvrecall_prefill_time_seconds"),
                 ("decode", "kvrecall_decode_time_seconds")]
    return p.Row("Where the time goes", [
        p.lines("A sample's phases, mean",
                "Waiting for the engine, prefill of the prompt, and all decode "
                "steps.",
                "s", [p.Query(q.mean(metric), name)
                      for name, metric in of_sample],
                width=8, stacked="normal", step="15s", empty=NO_SAMPLES),
        p.lines("A sample's phases, p99",
                "Estimated from buckets.",
                "s", [p.Query(q.percentile(0.99, metric), name)
                      for name, metric in of_sample],
                width=8, step="15s", log=True, empty=NO_SAMPLES),
        p.lines("The engine's time",
                "Share of the time that the engine's thread spends on each "
                "phase; gap: lanes that no step goes with.",
                "percentunit",
                [p.Query(q.rate(f"{step}_sum", by=("phase",)), "{{phase}}")],
                width=8, stacked="normal", step="5s"),
        p.lines("The engine's passes, mean and p99",
                "A pass is a prefill chunk, a decode step with its figures, or "
                "gap lanes.",
                "s",
                [p.Query(q.mean(step, by=("phase",)), "{{phase}} mean"),
                 p.Query(q.percentile(0.99, step, by=("phase",)),
                         "{{phase}} p99")],
                log=True, step="15s", empty="no passes in this time"),
        p.lines("Passes a second",
                "Decode steps, prefill chunks and gap lanes.",
                "suffix: /s",
                [p.Query(q.rate(f"{step}_count", by=("phase",)),
                         "{{phase}}")], step="5s"),
    ])


def queue():
    return p.Row("Queue and throughput", [
        p.lines("Samples waiting and running",
                "Running: in the engine, or made ready for it. Held: of runs "
                "that began with another program, model or device.", "short",
                [p.Query(q.gauge("kvrecall_samples_waiting"), "waiting"),
                 p.Query(q.gauge("kvrecall_samples_running"), "running"),
                 p.Query(q.gauge("kvrecall_samples_held"), "held")],
                width=8),
        p.lines("Tokens waiting",
                "Of the samples in the queue, estimated at four bytes each, "
                "with those that may be generated.",
                "short", [p.Query(q.gauge("kvrecall_queue_tokens"),
                                  "tokens")], width=8),
        p.lines("Samples submitted, by result",
                "queue_full, refused, disk_low, database_full and draining "
                "were not taken; duplicate was there already.",
                "suffix: /s",
                [p.Query(q.rate("kvrecall_admissions_total", by=("result",)),
                         "{{result}}")],
                width=8, stacked="normal", step="5s"),
        p.lines("Samples that ended, a minute",
                "reused, within the others: got an earlier run's records.",
                "suffix: /min",
                [p.Query("60 * " + q.rate("kvrecall_samples_total",
                                          by=("outcome",)), "{{outcome}}"),
                 p.Query("60 * " + q.rate("kvrecall_samples_reused_total"),
                         "reused")],
                width=8, step="15s",
                overrides=p.colours(p.OUTCOME_COLOURS)),
        p.lines("Prompt tokens a second",
                "Of the samples started, after truncation and chat template.",
                "suffix: tok/s",
                [p.Query(q.rate("kvrecall_prompt_tokens_total"), "prompt")],
                width=8, step="15s"),
        p.lines("Generated tokens a second", "One per decode step.",
                "suffix: tok/s",
                [p.Query(q.rate("kvrecall_generation_tokens_total"),
                         "generated")], width=8),
        p.heatmap("Lengths of prompts",
                  "After truncation and chat template.", "suffix: tokens",
                  q.heat("kvrecall_sample_prompt_tokens"), "samples",
                  step="15s"),
        p.heatmap("Lengths of answers", "Tokens that each sample generated.",
                  "suffix: tokens",
                  q.heat("kvrecall_sample_generation_tokens"), "samples",
                  step="15s"),
    ])


def calls():
    metric = "kvrecall_grpc_server_handled_total"
    return p.Row("Calls", [
        p.lines("Calls by method", "Calls that ended, well or not.",
                "suffix: /s",
                [p.Query(q.rate(metric, by=("method",)) + " > 0",
                         "{{method}}")],
                step="5s", empty="no calls in this time"),
        p.lines("Calls by code",
                "What is not OK says how a call failed. CANCELLED: its client "
                "went away.",
                "suffix: /s",
                [p.Query(q.rate(metric, by=("code",)) + " > 0", "{{code}}")],
                step="5s", empty="no calls in this time",
                overrides=p.colours({"OK": p.GREEN, "CANCELLED": p.GREY})),
    ])


def database():
    return p.Row("Records and database", [
        p.lines("Records a second", "Events committed to the database.",
                "suffix: /s",
                [p.Query(q.rate("kvrecall_records_committed_total"),
                         "records")], width=8),
        p.lines("Commit lag",
                "From an event's making to its commit; the oldest event of "
                "each commit.",
                "s", percentile_lines("kvrecall_record_commit_lag_seconds",
                                      (0.5, 0.99)),
                width=8, log=True, step="5s", empty="no commits in this time"),
        p.lines("Commits", "Seconds of one transaction of the writer.", "s",
                percentile_lines("kvrecall_sqlite_commit_seconds",
                                 (0.5, 0.99)),
                width=8, log=True, step="5s", empty="no commits in this time"),
        p.lines("Database and write-ahead log",
                "Sizes of the files. The log grows beyond its bound only while "
                "a reader holds an old state open.",
                "bytes",
                [p.Query(q.gauge("kvrecall_sqlite_db_bytes"), "database"),
                 p.Query(q.gauge("kvrecall_sqlite_wal_bytes"),
                         "write-ahead log")], width=8),
        p.lines("Free on the database's disk",
                "Share of that file system; below --min-free-disk new work is "
                "refused.",
                "percentunit",
                [p.Query(q.select("kvrecall_disk_free_bytes") + " / "
                         + q.select("kvrecall_disk_size_bytes"),
                         "{{instance}}")],
                width=8, max=1,
                thresholds=p.thresholds((None, p.RED), (0.1, p.GREEN))),
        p.lines("Since the last record",
                "Time since the last commit with an event. It grows while "
                "nothing runs, and through a long prefill.",
                "s",
                [p.Query("time() - (" + q.select(
                    "kvrecall_last_record_timestamp_seconds") + " > 0)",
                    "{{instance}}")],
                width=8, empty="no record yet"),
    ])


def streams():
    return p.Row("Streams", [
        p.lines("Open", "WatchRun streams.", "short",
                [p.Query(q.gauge("kvrecall_streams_open"), "open")], width=8),
        p.lines("Ended, by reason",
                "done: the run's end was sent. slow: its reader stalled; it "
                "may come back and misses nothing.",
                "suffix: /s",
                [p.Query(q.rate("kvrecall_streams_closed_total",
                                by=("reason",)), "{{reason}}")],
                width=8, stacked="normal", step="5s"),
        p.lines("Behind, in records",
                "Committed records that a stream had yet to send, looked at "
                "with each message.",
                "short", percentile_lines("kvrecall_stream_lag_records",
                                          (0.5, 0.99)),
                width=8, step="5s", empty="no messages in this time"),
    ])


def machine():
    return p.Row("Process and device", [
        p.lines("Memory", "Resident memory of the process.", "bytes",
                [p.Query(q.select("process_resident_memory_bytes"),
                         "{{instance}}")], width=8),
        p.lines("CPU", "Cores in use by the process.", "suffix: cores",
                [p.Query("rate(" + q.select("process_cpu_seconds_total")
                         + "[$__rate_interval])", "{{instance}}")],
                width=8, step="5s"),
        p.lines("File descriptors", "Open; each connection takes one.",
                "short", [p.Query(q.select("process_open_fds"),
                                  "{{instance}}")], width=8),
        p.lines("KV cache",
                "Positions that the running sample holds, of those that a text "
                "may have.",
                "percentunit", [p.Query(q.select(
                    "kvrecall_kv_cache_usage_ratio"), "{{instance}}")],
                width=12, max=1),
        p.lines("The GPU's memory",
                "allocated: in use by tensors. reserved: kept by libtorch. All "
                "0 on a CPU.",
                "bytes",
                [p.Query(q.gauge("kvrecall_gpu_memory_bytes", by=("kind",)),
                         "{{kind}}")], width=12),
    ])


def versions():
    joined = " * on (job, instance) ".join((
        q.select("kvrecall_build_info"),
        "group_left (model, digest, dtype, device) "
        + q.select("kvrecall_model_info")))
    columns = ["instance", "version", "commit", "model", "digest", "dtype",
               "device", "libtorch", "sqlite"]
    return p.Row("What runs", [
        p.table("Versions and models",
                "Of every server: what was built, and the model that is "
                "loaded. Runs of one digest are comparable.",
                "string", joined,
                [{"id": "organize", "options": {
                    "excludeByName": {"Time": True, "Value": True,
                                      "job": True},
                    "includeByName": {}, "renameByName": {},
                    "indexByName": {name: i
                                    for i, name in enumerate(columns)}}}],
                width=18, height=5),
        p.stat("Loading the model", "Time that it took.", "s",
               [p.now(q.select("kvrecall_model_load_seconds"),
                      "{{instance}}")], width=6, height=5),
    ])


def dashboard():
    return p.dashboard(
        "kvrecall-server", "kvrecall: server",
        "How servers do: latency, queue, errors, database, streams, memory and "
        "device.",
        [overview(), latency(), phases(), queue(), calls(), database(),
         streams(), machine(), versions()],
        since="1h", refresh="5s")
