"""All policies, gap lanes and forced texts, through the real programs."""

import json
import pathlib
import sqlite3
import subprocess
import tempfile
import unittest

from server_process import CLIENT, ServerProcess

SAMPLES = 2
POLICIES = ["--policies", "all", "--scopes", "global,layer,head",
            "--budgets", "0.2"]


def lines(server, *arguments):
    """The exported lines of a run that is submitted with these arguments."""
    run = json.loads(server.client(
        "submit", "--task", "demo", "--limit", str(SAMPLES), "--json",
        *arguments).stdout)["run_id"]
    exported = server.client("export", run, "--format", "jsonl").stdout
    return run, [json.loads(line) for line in exported.splitlines()]


def of_type(exported, kind):
    return [x for x in exported if x["type"] == kind]


class GapTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="kvrecall_e2e_")
        cls.addClassCleanup(cls.folder.cleanup)
        forced = pathlib.Path(cls.folder.name) / "forced.jsonl"
        with ServerProcess(cls.folder.name) as server:
            _, cls.plain = lines(server, *POLICIES)
            cls.run_id, cls.with_gaps = lines(server, *POLICIES, "--gap")
            _, cls.gold = lines(server, *POLICIES, "--force", "gold")
            ids = [x["sample_id"] for x in of_type(cls.plain, "sample")]
            forced.write_text("".join(
                json.dumps({"_id": x, "text": "The key is lost."}) + "\n"
                for x in ids))
            _, cls.forced = lines(server, *POLICIES, "--force", str(forced))
        cls.database = sqlite3.connect(f"file:{server.database}?mode=ro",
                                       uri=True)
        cls.addClassCleanup(cls.database.close)

    def test_every_policy_has_a_lane_in_every_scope_that_it_has(self):
        for step in of_type(self.plain, "step"):
            lanes = {(x["policy"], x["scope"]) for x in step["recalls"]}
            self.assertEqual(len(lanes), 12 * 3 - 1)
            self.assertNotIn(("pyramidkv", "global"), lanes)
            for x in step["recalls"]:
                self.assertEqual(x["fetched_back"] is None,
                                 x["policy"] not in ("h2o_evict", "tova"))

    def test_lanes_change_no_bit_of_the_rest(self):
        steps = of_type(self.with_gaps, "step")
        self.assertEqual([{**x, "gaps": []} for x in steps],
                         of_type(self.plain, "step"))
        for step in steps:
            self.assertEqual([x["lane"] for x in step["gaps"]],
                             ["without_gold(0.2)", "only_pred(h2o,0.2)"])
            for gap in step["gaps"]:
                self.assertGreaterEqual(gap["kl"], 0)

    def test_the_database_has_the_exported_gaps_bit_for_bit(self):
        rows = self.database.execute(
            "SELECT lane, kl, entropy_change, logprob_change, gap_token_id, "
            "top1_agrees FROM gaps WHERE run = ?", (self.run_id,)).fetchall()
        self.assertEqual(
            sorted(rows),
            sorted((x["lane"], x["kl"], x["entropy_change"],
                    x["logprob_change"], x["token_id"], x["top1_agrees"])
                   for step in of_type(self.with_gaps, "step")
                   for x in step["gaps"]))
        self.assertGreater(len(rows), SAMPLES)

    def test_forced_texts_are_followed_and_have_no_score(self):
        for exported in (self.gold, self.forced):
            for sample in of_type(exported, "sample"):
                self.assertIsNone(sample["score"])
                self.assertEqual(sample["finish_reason"], "eos")
        for sample in of_type(self.forced, "sample"):
            self.assertEqual(sample["text"].strip(), "The key is lost.")

    def test_a_wrong_name_is_answered_without_a_server(self):
        for arguments, hint in (
                (["--policies", "h20"], "did you mean h2o"),
                (["--policies", "h2o@entropy(2)"], "h2o_evict and tova do"),
                (["--gap", "only_pred(tova,0.2)"], "add it to its policies")):
            done = subprocess.run(
                [CLIENT, "submit", "--task", "demo", *arguments, "--server",
                 "127.0.0.1:1"], text=True, capture_output=True, timeout=60)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(hint, done.stderr)


if __name__ == "__main__":
    unittest.main()
