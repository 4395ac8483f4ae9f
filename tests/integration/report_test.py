"""The report of a run in a real browser: what a reader sees and can do.

With KVRECALL_SCREENSHOTS set to a folder, pictures are kept there.
"""

import json
import os
import pathlib
import re
import sqlite3
import subprocess
import tempfile
import unittest

import browser
from server_process import CLIENT, ServerProcess

SAMPLES = 6

# Hides all that stands before an element, so that a picture begins with it.
BEGIN_WITH = """for (const e of [...document.body.children]) {
  if (e.id === "%s") break; e.style.display = "none"; }"""


class ReportTest(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="kvrecall_report_")
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.page = cls.folder / "report.html"
        with ServerProcess(folder.name) as server:
            submitted = server.client(
                "submit", "--task", "demo", "--limit", str(SAMPLES), "--json",
                "--policies", "h2o,h2o_evict,h2o_evict@periodic(8),random",
                "--gap")
            cls.run_id = json.loads(submitted.stdout)["run_id"]
            server.client("report", cls.run_id, "--out", str(cls.page))
            cls.pulled = cls.folder / "pulled.db"
            server.client("pull", cls.run_id, "--out", str(cls.pulled))
            cls.database = server.database
        cls.text = cls.page.read_text("utf-8")
        cls.records = sqlite3.connect(f"file:{cls.database}?mode=ro", uri=True)
        cls.addClassCleanup(cls.records.close)

    def evaluate(self, expression):
        return browser.evaluate(self.page, expression, self.folder)

    def picture(self, name, width, height, script=""):
        keep = os.environ.get("KVRECALL_SCREENSHOTS")
        path = pathlib.Path(keep or self.folder) / name
        browser.screenshot(self.page, path, width, height, script, self.folder)
        # A page that failed is nearly white, and so a small file.
        self.assertGreater(path.stat().st_size, 20_000, name)

    def query(self, sql, *values):
        return self.records.execute(sql, values).fetchall()

    def test_server_database_and_pulled_file_give_the_same_page(self):
        for database in (self.database, self.pulled):
            again = self.folder / "again.html"
            subprocess.run(
                [CLIENT, "report", self.run_id, "--db", str(database),
                 "--out", str(again), "--force"], check=True,
                capture_output=True, timeout=120)
            self.assertEqual(again.read_text("utf-8"), self.text)

    def test_a_pulled_run_reads_as_on_the_server(self):
        for command in (["show", "--json"], ["analyze", "--json"], ["export"]):
            said = [subprocess.run(
                [CLIENT, command[0], self.run_id, *command[1:], "--db",
                 str(database)], check=True, capture_output=True,
                timeout=120).stdout for database in (self.database, self.pulled)]
            self.assertEqual(said[0], said[1], command)

    def test_nothing_is_fetched(self):
        self.assertEqual(re.findall(r'(?:src|href)="(?!data:|#)[^"]*"',
                                    self.text), [])
        self.assertIn("default-src 'none'", self.text)

    def test_the_verdict_comes_first_and_every_section_is_there(self):
        headings = self.evaluate("""return [...document.querySelectorAll("h2")]
            .map((heading) => heading.id)""")
        self.assertEqual(headings,
                         ["verdict", "figures", "tables", "texts",
                          "provenance"])
        budgets = self.evaluate(
            'return document.querySelectorAll(".verdict").length')
        self.assertEqual(budgets, 3)

    def test_every_image_can_be_shown_and_says_what_it_is(self):
        images = self.evaluate("""return [...document.images].map((image) =>
            [image.complete && image.naturalWidth, image.alt])""")
        self.assertGreaterEqual(len(images), 5)
        for width, alternative in images:
            self.assertGreater(width, 300)
            self.assertNotEqual(alternative, "")

    def test_all_tokens_are_shown_with_entropy_and_recall(self):
        shown = self.evaluate("""return [...document.querySelectorAll(
            ".sample")].map((sample) => [
            [...sample.querySelectorAll(".tokens span:not(.end)")].map((t) =>
                t.textContent).join(""),
            [...sample.querySelectorAll(".tokens span")].map((t) =>
                [t.classList.contains("low"), t.style.backgroundColor])])""")
        samples = self.query("SELECT id, text FROM samples ORDER BY ordinal")
        self.assertEqual([text for text, _ in shown],
                         [text for _, text in samples])
        for (sample, _), (_, tokens) in zip(samples, shown):
            steps = self.query("""SELECT entropy, recall FROM steps
                JOIN step_recalls USING (run, sequence)
                WHERE sample = ? AND lane = 0 ORDER BY step""", sample)
            self.assertEqual([low for low, _ in tokens],
                             [recall < 0.5 for _, recall in steps])
            # Darker, the higher the entropy.
            blue = [int(re.findall(r"\d+", colour)[2]) for _, colour in tokens]
            by_entropy = sorted(zip(steps, blue))
            self.assertEqual([b for _, b in by_entropy],
                             sorted(blue, reverse=True))

    def test_a_token_tells_its_numbers_and_what_was_lost(self):
        tip = self.evaluate("""document.querySelectorAll(".tokens span")[3]
            .click(); return document.getElementById("tip").innerText""")
        [(entropy, lost)] = self.query("""SELECT entropy, lost FROM steps
            JOIN step_recalls USING (run, sequence) JOIN samples
            ON samples.id = steps.sample
            WHERE ordinal = 1 AND step = 4 AND lane = 0""")
        self.assertIn(f"entropy {entropy:.3f} nats", tip)
        self.assertIn("step 4", tip)
        lost = json.loads(lost)
        self.assertEqual(len(lost), 4)
        for position, weight, token in lost:
            token = token.replace("\n", "⏎")
            self.assertIn(f"{token} at {position}, attention ", tip)

    def test_policy_budget_threshold_and_order_can_be_chosen(self):
        counts = self.evaluate("""const counts = [];
            const count = () => counts.push(
                document.querySelectorAll(".tokens .low").length);
            const set = (id, value) => {
              const control = document.getElementById(id);
              control.value = value;
              control.dispatchEvent(new Event("input", {bubbles: true}));
            };
            count(); set("tau", 0.2); count(); set("budget", 2); count();
            set("policy", 3); count(); set("tau", 1); set("order", "recall");
            count();
            return [counts, [...document.querySelectorAll(".sample header b")]
                .map((id) => id.textContent)]""")
        def low(lane, tau):
            [(count,)] = self.query("""SELECT count(*) FROM step_recalls
                JOIN lanes USING (run, lane) WHERE policy = ? AND budget = ?
                AND scope = 'global' AND recall < ?""", *lane, tau)
            return count
        h2o, random = ("h2o", "0.1"), ("random", "0.3")
        self.assertEqual(counts[0], [low(h2o, 0.5), low(h2o, 0.2),
                                     low(("h2o", "0.3"), 0.2), low(random, 0.2),
                                     low(random, 1)])
        by_recall = self.query("""SELECT sample FROM recalls
            WHERE policy = 'random' AND budget = '0.3' AND scope = 'global'
            GROUP BY sample ORDER BY avg(recall)""")
        self.assertEqual(counts[1], [sample for (sample,) in by_recall])

    def test_it_looks_like_a_page(self):
        self.picture("report.png", 1200, 1500)
        self.picture("report_tables.png", 1200, 1500, BEGIN_WITH % "tables")
        self.picture(
            "report_texts.png", 1200, 800, BEGIN_WITH % "texts" +
            "setTimeout(() => document.querySelectorAll('.tokens span')[12]"
            ".click(), 300);")


if __name__ == "__main__":
    unittest.main()
