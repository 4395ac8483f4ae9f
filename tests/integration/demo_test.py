"""Demo samples through server and client: the same numbers everywhere."""

import json
import math
import os
import sqlite3
import struct
import subprocess
import sys
import tempfile
import unittest

from server_process import ServerProcess

SAMPLES = 2


class DemoTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        """One server and one run for all tests; everything is read here."""
        cls.folder = tempfile.TemporaryDirectory(prefix="kvrecall_e2e_")
        cls.addClassCleanup(cls.folder.cleanup)
        with ServerProcess(cls.folder.name) as server:
            submitted = server.client(
                "submit", "--task", "demo", "--limit", str(SAMPLES), "--json",
                "--fresh")
            cls.progress = submitted.stderr
            cls.result = json.loads(submitted.stdout)
            cls.run_id = cls.result["run_id"]
            cls.watched = json.loads(
                server.client("watch", cls.run_id, "--json").stdout)
            cls.shown = server.client("show", cls.run_id).stdout
            cls.listed = server.client("runs").stdout
            cls.tasks = server.client("tasks").stdout
            exported = server.client(
                "export", cls.run_id, "--format", "jsonl").stdout
            cls.online = {
                command: server.client(*arguments).stdout
                for command, arguments in cls.reading().items()}
            cls.metrics = server.metrics()
            cls.exit_status = server.terminate()
            cls.log = server.logged()
        lines = [json.loads(line) for line in exported.splitlines()]
        # The server is gone: what follows reads its file.
        cls.offline = {
            command: server.client(*arguments, "--db", server.database).stdout
            for command, arguments in cls.reading().items()}
        server.client("plot", cls.run_id, "--db", server.database,
                      "--out", os.path.join(cls.folder.name, "plots"),
                      "--format", "png,svg")
        cls.plots = sorted(os.listdir(os.path.join(cls.folder.name, "plots")))
        cls.run_line = lines[0]
        cls.samples = [x for x in lines if x["type"] == "sample"]
        cls.steps = [x for x in lines if x["type"] == "step"]
        # Read after the server has ended: what is there is durable.
        database = sqlite3.connect(f"file:{server.database}?mode=ro", uri=True)
        cls.addClassCleanup(database.close)
        database.row_factory = sqlite3.Row
        cls.database = database

    @classmethod
    def reading(cls):
        """The commands that read a run, from a server or from a file."""
        return {"runs": ["runs"],
                "show": ["show", cls.run_id, "--json"],
                "analyze": ["analyze", cls.run_id, "--json"],
                "compare": ["compare", cls.run_id, cls.run_id, "--json"],
                "jsonl": ["export", cls.run_id],
                "csv": ["export", cls.run_id, "--format", "csv"]}

    def test_a_database_says_what_its_server_said(self):
        for command, said in self.online.items():
            self.assertGreater(len(said), 100, command)
            self.assertEqual(self.offline[command], said, command)

    def test_the_analysis_is_of_the_exported_steps(self):
        analysis = json.loads(self.offline["analyze"])
        self.assertEqual(analysis["steps"], len(self.steps))
        self.assertEqual(analysis["samples"], SAMPLES)
        # Two samples are no evidence, whatever they say.
        for budget in analysis["verdict"]["budgets"]:
            self.assertEqual(budget["study_criterion"]["finding"],
                             "not enough data")
        for i, lane in enumerate(analysis["lanes"]):
            recalls = [step["recalls"][i]["recall"] for step in self.steps]
            self.assertAlmostEqual(lane["recall"]["value"],
                                   math.fsum(recalls) / len(recalls), places=12)

    def test_figures_are_drawn_from_the_database(self):
        for name in ("recall_by_entropy", "scatter", "recall_by_layer",
                     "policies"):
            self.assertIn(f"{name}.png", self.plots)
            self.assertIn(f"{name}.svg", self.plots)
        # Not without a policy that has a trigger.
        self.assertNotIn("recall_by_traffic.png", self.plots)

    def test_the_run_succeeded_and_was_recorded(self):
        self.assertEqual(self.result["state"], "succeeded")
        self.assertEqual(self.run_line["state"], "succeeded")
        self.assertEqual(len(self.samples), SAMPLES)
        self.assertGreater(len(self.steps), SAMPLES)
        self.assertEqual(self.result["steps"], len(self.steps))
        self.assertEqual(self.run_line["provenance"]["model"], "nano")
        for name in ("model_digest", "tokenizer_digest"):
            self.assertRegex(self.run_line["provenance"][name], "^[0-9a-f]{64}$")

        self.assertNotEqual(self.run_line["provenance"]["kernels"], "")

    def test_another_server_under_load_gives_the_same_bits(self):
        load = [subprocess.Popen([sys.executable, "-c", "while True: pass"])
                for _ in range(os.cpu_count())]
        try:
            with tempfile.TemporaryDirectory(prefix="kvrecall_e2e_") as folder:
                with ServerProcess(folder) as server:
                    run_id = json.loads(server.client(
                        "submit", "--task", "demo", "--limit", str(SAMPLES),
                        "--json").stdout)["run_id"]
                    exported = server.client(
                        "export", run_id, "--format", "jsonl").stdout
        finally:
            for process in load:
                process.kill()
                process.wait()
        steps = [x for x in map(json.loads, exported.splitlines())
                 if x["type"] == "step"]
        # JSON has each number's shortest exact form.
        self.assertEqual(steps, self.steps)

    def test_sigterm_ends_the_server_with_status_0(self):
        self.assertEqual(self.exit_status, 0, self.log)

    def test_a_second_watcher_sees_the_same_run(self):
        self.assertEqual(self.watched["rows"], self.result["rows"])
        self.assertEqual(self.watched["last_sequence"],
                         self.result["last_sequence"])

    def test_the_client_shows_and_lists_it(self):
        self.assertIn(self.run_id, self.shown)
        self.assertIn("h2o", self.shown)
        self.assertIn(self.run_id, self.listed)
        self.assertIn("demo", self.tasks)
        self.assertIn(f"{SAMPLES}/{SAMPLES} samples", self.progress)

    def test_each_sample_has_steps_without_gaps(self):
        for sample in self.samples:
            steps = [x for x in self.steps
                     if x["sample_id"] == sample["sample_id"]]
            self.assertEqual([x["step"] for x in steps],
                             list(range(1, len(steps) + 1)))
            self.assertEqual(sample["generated_tokens"], len(steps))
            # Step t attends the prompt and the tokens before its own.
            self.assertEqual([x["n"] for x in steps],
                             [sample["prompt_tokens"] - 1 + x["step"]
                              for x in steps])
            self.assertIn(sample["finish_reason"], ("eos", "length"))
            self.assertIsNotNone(sample["score"])

    def test_every_recall_follows_the_definitions(self):
        config = self.run_line["config"]
        lanes = [(p, s, float(b)) for p in config["policies"]
                 for s in config["scopes"] for b in config["budgets"]]
        self.assertEqual(len(lanes), 18)
        for step in self.steps:
            self.assertEqual([(x["policy"], x["scope"], x["budget"])
                              for x in step["recalls"]], lanes)
            for x in step["recalls"]:
                k, n = x["k"], step["n"]
                self.assertEqual(k, max(1, math.floor(x["budget"] * n)))
                self.assertTrue(0 <= x["recall"] <= 1)
                self.assertTrue(0 <= x["mass_ratio"] <= 1 + 1e-9)
                if x["scope"] == "global":
                    free = {round((g + (k - g) * (k - 1) / (n - 1)) / k, 12)
                            for g in (0, 1)}
                    self.assertIn(round(x["chance"], 12), free)
                    self.assertEqual(x["layer_recalls"], [])
                else:
                    layers = x["layer_recalls"]
                    self.assertAlmostEqual(sum(layers) / len(layers),
                                           x["recall"], places=6)
                self.assertEqual(x["drift"] is None, step["step"] == 1)
                self.assertIsNone(x["fetched_back"])
                if x["policy"] == "oracle":
                    self.assertEqual(x["recall"], 1)

    def test_the_database_has_the_exported_steps_bit_for_bit(self):
        rows = self.database.execute(
            """SELECT samples.sample_id, steps.* FROM steps
               JOIN samples ON samples.id = steps.sample
               JOIN runs ON runs.id = steps.run
               WHERE runs.run_id = ? ORDER BY sequence""",
            (self.run_id,)).fetchall()
        self.assertEqual(len(rows), len(self.steps))
        fields = ("sample_id", "step", "n", "token_id", "token", "entropy",
                  "logprob", "p_max", "margin", "attention_entropy",
                  "attention_entropy_std")
        for row, step in zip(rows, self.steps):
            for field in fields:
                self.assertEqual(row[field], step[field], field)
            recalls = self.database.execute(
                """SELECT * FROM step_recalls WHERE run = ? AND sequence = ?
                   ORDER BY lane""", (row["run"], row["sequence"])).fetchall()
            self.assertEqual(len(recalls), len(step["recalls"]))
            for stored, exported in zip(recalls, step["recalls"]):
                for field in ("k", "recall", "chance", "lift", "mass",
                              "mass_ratio", "recall_without_free_hits",
                              "drift", "fetched_back"):
                    self.assertEqual(stored[field], exported[field], field)
                blob = stored["layer_recalls"] or b""
                packed = struct.pack(f"<{len(exported['layer_recalls'])}f",
                                     *exported["layer_recalls"])
                self.assertEqual(blob, packed)

    def test_the_database_has_the_exported_samples(self):
        for sample in self.samples:
            row = self.database.execute(
                """SELECT samples.* FROM samples
                   JOIN runs ON runs.id = samples.run
                   WHERE runs.run_id = ? AND sample_id = ?""",
                (self.run_id, sample["sample_id"])).fetchone()
            self.assertEqual(row["state"], "done")
            for field in ("prompt_tokens", "generated_tokens", "text", "score",
                          "finish_reason"):
                self.assertEqual(row[field], sample[field], field)

    def test_the_streamed_means_are_those_of_the_export(self):
        for i, row in enumerate(self.result["rows"]):
            recalls = [step["recalls"][i]["recall"] for step in self.steps]
            self.assertEqual(row["n"], len(recalls))
            self.assertAlmostEqual(row["recall"],
                                   math.fsum(recalls) / len(recalls), places=12)

    def test_the_metrics_count_the_same_records(self):
        steps = len(self.steps)
        tokens = self.metrics["kvrecall_generation_tokens_total"]
        self.assertEqual(sum(tokens.values()), steps)
        self.assertEqual(
            sum(self.metrics["kvrecall_token_entropy_nats_count"].values()),
            steps)
        self.assertAlmostEqual(
            sum(self.metrics["kvrecall_token_entropy_nats_sum"].values()),
            math.fsum(step["entropy"] for step in self.steps), places=6)
        # The histogram has the recalls of scope `global`.
        recalls = [x["recall"] for step in self.steps
                   for x in step["recalls"] if x["scope"] == "global"]
        self.assertEqual(
            sum(self.metrics["kvrecall_recall_ratio_count"].values()),
            len(recalls))
        self.assertAlmostEqual(
            sum(self.metrics["kvrecall_recall_ratio_sum"].values()),
            math.fsum(recalls), places=6)
        self.assertEqual(
            sum(self.metrics["kvrecall_records_committed_total"].values()),
            self.result["last_sequence"])


if __name__ == "__main__":
    unittest.main()
