"""Samples of one's own, from a prompt on standard input to a chat."""

import json
import os
import pathlib
import sqlite3
import subprocess
import tempfile
import unittest

from server_process import CLIENT, ServerProcess


class CustomTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="kvrecall_custom_")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.server = ServerProcess(folder.name)
        cls.server.__enter__()
        cls.addClassCleanup(cls.server.__exit__)

    def submit(self, *arguments, text=None):
        done = subprocess.run(
            [CLIENT, "submit", *arguments, "--max-new-tokens", "5", "--json",
             "--server", self.server.grpc], input=text, text=True,
            capture_output=True, timeout=120)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def prompt_tokens(self, run_id):
        database = sqlite3.connect(
            f"file:{self.server.database}?mode=ro", uri=True)
        try:
            return [row for (row,) in database.execute(
                "SELECT prompt_tokens FROM samples JOIN runs "
                "ON runs.id = samples.run WHERE run_id = ? ORDER BY ordinal",
                (run_id,))]
        finally:
            database.close()

    def token_count(self, text):
        done = subprocess.run(
            [CLIENT, "tokenize", "-", "--json", "--server", self.server.grpc],
            input=text, text=True, capture_output=True, timeout=60, check=True)
        tokens = json.loads(done.stdout)
        self.assertEqual("".join(tokens["tokens"]), text)
        self.assertEqual(len(tokens["token_ids"]), tokens["count"])
        return tokens["count"]

    def test_a_prompt_comes_from_standard_input(self):
        run = self.submit("--prompt", "-", "--chat-template", "none",
                          text="Who wrote The Visha?")
        self.assertEqual(run["config"]["task"], "custom")
        self.assertIsNone(run["mean_score"])
        self.assertEqual(self.prompt_tokens(run["run_id"]),
                         [self.token_count("Who wrote The Visha?")])

    def test_a_template_names_the_fields_of_json_lines(self):
        lines = self.folder / "own.jsonl"
        lines.write_text('{"title": "One", "year": 1984}\n'
                         '{"title": "{year}", "year": 7}\n')
        template = self.folder / "template.txt"
        template.write_text("Of {title} ({year}), say {}:")
        run = self.submit("--jsonl", str(lines), "--template", f"@{template}",
                          "--chat-template", "none")
        self.assertEqual(
            self.prompt_tokens(run["run_id"]),
            [self.token_count("Of One (1984), say {}:"),
             self.token_count("Of {year} (7), say {}:")])
        self.assertEqual(run["provenance"]["prompt_template"],
                         template.read_text())

    def test_a_chat_goes_through_the_chat_template(self):
        lines = self.folder / "chat.jsonl"
        lines.write_text(json.dumps({"messages": [
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Yes?"},
            {"role": "user", "content": "Who rules Trawan?"}]}) + "\n")
        run = self.submit("--jsonl", str(lines), "--chat-template", "chatml")
        self.assertEqual(self.prompt_tokens(run["run_id"]), [self.token_count(
            "<|im_start|>user\nHello<|im_end|>\n"
            "<|im_start|>assistant\nYes?<|im_end|>\n"
            "<|im_start|>user\nWho rules Trawan?<|im_end|>\n"
            "<|im_start|>assistant\n")])

    def test_a_field_that_is_missing_is_named_before_anything_is_sent(self):
        lines = self.folder / "short.jsonl"
        lines.write_text('{"_id": "a", "title": "One"}\n')
        done = self.server.client(
            "submit", "--jsonl", str(lines), "--template", "{titel}",
            check=False)
        self.assertEqual(done.returncode, 2)
        self.assertIn("names {titel}, and sample 'a' has no such field; it has "
                      "context, input, title", done.stderr)


if __name__ == "__main__":
    unittest.main()
