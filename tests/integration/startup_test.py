"""What a server that cannot start says: one clear line, and no success."""

import os
import pathlib
import shutil
import socket
import subprocess
import tempfile
import unittest

from server_process import CLIENT, SERVER, ServerProcess

NANO = pathlib.Path(__file__).resolve().parents[2] / "deploy/models/nano"


class StartupTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="kvrecall_e2e_")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def fail_to_start(self, model="nano", listen="127.0.0.1:0",
                      metrics="127.0.0.1:0", database=None, extra=()):
        """Runs a server that must not start; returns its one line of error."""
        done = subprocess.run(
            [SERVER, "--model", str(model), "--listen", listen, "--metrics",
             metrics,
             "--database", str(database or self.folder / "kvrecall.db"),
             "--port-file", str(self.folder / "ports.json"), *extra],
            text=True, capture_output=True, timeout=120)
        self.assertGreater(done.returncode, 0, done.stderr)
        lines = done.stderr.splitlines()
        self.assertEqual(len(lines), 1, done.stderr)
        self.assertFalse((self.folder / "ports.json").exists())
        return lines[0]

    def copy_model(self):
        model = self.folder / "model"
        shutil.copytree(NANO, model)
        for path in [model, *model.iterdir()]:
            os.chmod(path, 0o755)
        return model

    def test_bad_flag(self):
        self.assertIn("--nope", self.fail_to_start(extra=["--nope"]))

    def test_missing_model(self):
        model = self.folder / "nowhere"
        self.assertIn(str(model), self.fail_to_start(model=model))

    def test_model_that_is_not_downloaded(self):
        line = self.fail_to_start(model="kvrecall-tests/no-such-model@v2")
        self.assertIn("hf download kvrecall-tests/no-such-model --revision v2",
                      line)

    def test_model_without_weights(self):
        model = self.copy_model()
        (model / "model.safetensors").unlink()
        self.assertIn("safetensors", self.fail_to_start(model=model))

    def test_model_with_truncated_weights(self):
        model = self.copy_model()
        weights = model / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1000])
        self.assertIn("model.safetensors", self.fail_to_start(model=model))

    def test_model_with_broken_config(self):
        model = self.copy_model()
        (model / "config.json").write_text("{")
        self.assertIn("config.json", self.fail_to_start(model=model))

    def test_model_of_another_architecture(self):
        model = self.copy_model()
        config = model / "config.json"
        config.write_text(config.read_text().replace(
            "Qwen2ForCausalLM", "MambaForCausalLM"))
        self.assertIn("MambaForCausalLM", self.fail_to_start(model=model))

    def test_model_with_broken_tokenizer(self):
        model = self.copy_model()
        (model / "tokenizer.json").write_text("[]")
        self.assertIn("tokenizer.json", self.fail_to_start(model=model))

    def test_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = "127.0.0.1:%d" % taken.getsockname()[1]
            self.assertIn(address, self.fail_to_start(listen=address))

    def test_metrics_port_in_use(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            address = "127.0.0.1:%d" % taken.getsockname()[1]
            self.assertIn(address, self.fail_to_start(metrics=address))

    def test_database_that_is_none(self):
        database = self.folder / "notes.txt"
        database.write_text("this is no database\n" * 1000)
        self.assertIn(str(database), self.fail_to_start(database=database))
        self.assertTrue(database.read_text().startswith("this is no"))

    def test_database_that_is_a_folder(self):
        self.assertIn(str(self.folder),
                      self.fail_to_start(database=self.folder))

    def test_database_in_a_folder_that_is_a_file(self):
        (self.folder / "file").write_text("")
        database = self.folder / "file" / "kvrecall.db"
        self.assertIn(str(database), self.fail_to_start(database=database))

    def test_database_of_another_server(self):
        other = self.folder / "other"
        other.mkdir()
        with ServerProcess(other) as server:
            line = self.fail_to_start(database=server.database)
            self.assertIn(str(server.database), line)
            self.assertEqual(server.terminate(), 0)

    def test_client_without_a_server(self):
        done = subprocess.run([CLIENT, "runs", "--server", "127.0.0.1:1"],
                              text=True, capture_output=True, timeout=60)
        self.assertEqual(done.returncode, 3)
        self.assertEqual(
            done.stderr,
            "kvrecall-client: no server at 127.0.0.1:1; start one with "
            "kvrecall-server or set --server\n")


if __name__ == "__main__":
    unittest.main()
