"""Every query of common/records_db/QUERIES.md runs on a real database."""

import importlib.util
import json
import os
import pathlib
import re
import sqlite3
import subprocess
import sys
import tempfile
import unittest

from server_process import ServerProcess

PAGE = (pathlib.Path(__file__).resolve().parents[2]
        / "common/records_db/QUERIES.md").read_text("utf-8")


def blocks(language):
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found, language
    return found


class QueriesTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="kvrecall_queries_")
        cls.addClassCleanup(folder.cleanup)
        with ServerProcess(folder.name) as server:
            server.client("submit", "--task", "demo", "--limit", "4")
            cls.path = server.database
        cls.database = sqlite3.connect(f"file:{cls.path}?mode=ro", uri=True)
        cls.addClassCleanup(cls.database.close)
        cls.database.row_factory = sqlite3.Row

    def test_the_page_names_every_column_of_the_view(self):
        columns = [row["name"] for row in self.database.execute(
            "SELECT name FROM pragma_table_info('recalls')")]
        rows = "\n".join(line for line in PAGE.splitlines()
                         if line.startswith("| `"))
        named = re.findall(r"`(\w+)`", re.sub(r"\|[^|]*\|$", "", rows,
                                              flags=re.MULTILINE))
        self.assertEqual(named, columns)

    def test_the_sql_gives_what_it_says(self):
        keeps, falls, lost = [
            [dict(row) for row in self.database.execute(sql)]
            for sql in blocks("sql")]
        self.assertEqual({(row["policy"], row["budget"]) for row in keeps},
                         {(policy, budget) for policy in
                          ("h2o", "random", "oracle")
                          for budget in ("0.1", "0.2", "0.3")})
        for row in keeps:
            self.assertEqual(row["samples"], 4)
            if row["policy"] == "oracle":
                self.assertEqual(row["recall"], 1)
        steps = self.database.execute("SELECT count(*) FROM steps").fetchone()
        self.assertEqual(sum(row["steps"] for row in falls), 3 * steps[0])
        self.assertEqual(len(lost), 10)
        self.assertEqual(lost, sorted(
            lost, key=lambda row: -row["entropy"]))
        for row in lost:
            [texts] = self.database.execute(
                """SELECT lost FROM recalls WHERE sample = ? AND step = ?
                AND policy = 'h2o' AND budget = '0.1' AND scope = 'global'""",
                (row["sample"], row["step"])).fetchone()
            self.assertEqual(row["lost"], "|".join(
                token for _, _, token in json.loads(texts)))

    def run_python(self, block):
        return subprocess.run(
            [sys.executable, "-c", block, str(self.path)], text=True,
            capture_output=True, timeout=120)

    @unittest.skipUnless(importlib.util.find_spec("pandas"),
                         "pandas is not installed")
    def test_the_pandas_of_the_page(self):
        [pandas] = [b for b in blocks("python") if "pandas" in b]
        done = self.run_python(pandas)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"pooled -?\d\.\d+\nwithin samples -?\d")

    @unittest.skipUnless(importlib.util.find_spec("duckdb"),
                         "duckdb is not installed")
    def test_the_duckdb_of_the_page(self):
        [duckdb] = [b for b in blocks("python") if "duckdb" in b]
        done = self.run_python(duckdb)
        # Its reader of SQLite is an extension, which is fetched once.
        if "Failed to download extension" in done.stderr:
            self.skipTest("DuckDB cannot fetch its SQLite extension")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("steps", done.stdout)


if __name__ == "__main__":
    unittest.main()
