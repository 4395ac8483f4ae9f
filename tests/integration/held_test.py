"""A server that would go on otherwise than a run began leaves it alone; the one
that it began with takes it up again."""

import json
import pathlib
import tempfile
import unittest

from server_process import ServerProcess

SAMPLES = 4


def server(folder, chunk, delay_ms=5):
    """Made-up numbers; how prompts are cut is part of a run's provenance, how
    long they take is not."""
    return ServerProcess(folder, extra=[
        "--scripted", "--scripted-delay-ms", str(delay_ms),
        "--drain-seconds", "0", "--prefill-chunk", str(chunk)])


class HeldTest(unittest.TestCase):

    def submit(self, to, *options, check=True):
        return to.client(
            "submit", "--jsonl", str(self.file), "--chat-template", "none",
            "--max-new-tokens", "20", "--ignore-eos", "--policies", "h2o",
            "--budgets", "0.2", "--request-id", "study", *options, check=check)

    def state(self, of, run):
        return json.loads(of.client("show", run, "--json").stdout)

    def test_a_run_that_began_elsewhere(self):
        folder = tempfile.TemporaryDirectory(prefix="kvrecall_e2e_")
        self.addCleanup(folder.cleanup)
        self.file = pathlib.Path(folder.name) / "samples.jsonl"
        self.file.write_text("".join(
            json.dumps({"_id": f"s{i}", "input": f"Question {i}?"}) + "\n"
            for i in range(SAMPLES)))

        # So slow that no sample ends before the server does.
        with server(folder.name, 64, delay_ms=5000) as first:
            run = self.submit(first, "--detach").stdout.strip()
            self.assertIsNone(self.state(first, run)["held"])
            self.assertEqual(first.terminate(), 0)

        with server(folder.name, 128) as other:
            self.assertIn(f"held: 1, samples that wait for it: {SAMPLES}",
                          other.logged())
            held = self.state(other, run)
            self.assertIn("prefill_chunk (64 and 128)", held["held"])
            self.assertIn("held", other.client("runs").stdout)
            metrics = other.metrics()
            self.assertEqual(metrics["kvrecall_samples_held"][""], SAMPLES)
            self.assertEqual(metrics["kvrecall_samples_waiting"][""], 0)
            status = json.loads(
                other.client("admin", "status", "--json").stdout)
            self.assertEqual(status["samples_held"], SAMPLES)
            # Whoever waits for it, or submits it again, is told and not kept.
            for tried in (other.client("watch", run, check=False),
                          self.submit(other, check=False)):
                self.assertEqual(tried.returncode, 3, tried)
                self.assertIn("is held", tried.stderr)
                self.assertIn("prefill_chunk (64 and 128)", tried.stderr)
            # Others' work goes on.
            done = other.client(
                "submit", "--jsonl", str(self.file), "--chat-template", "none",
                "--max-new-tokens", "2", "--policies", "h2o", "--budgets",
                "0.2", "--json")
            self.assertEqual(json.loads(done.stdout)["state"], "succeeded")
            self.assertEqual(other.terminate(), 0)

        with server(folder.name, 64) as again:
            self.submit(again)
            ended = self.state(again, run)
            self.assertEqual(ended["state"], "succeeded")
            self.assertIsNone(ended["held"])
            self.assertEqual(ended["samples"]["done"], SAMPLES)


if __name__ == "__main__":
    unittest.main()
