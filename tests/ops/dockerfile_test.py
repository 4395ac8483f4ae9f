"""What tests/ops/dockerfile.py makes of a Dockerfile's text, without running it."""

import os
import tempfile
import unittest

import dockerfile


class InstructionsTest(unittest.TestCase):
    def test_lines_are_joined_and_comments_left_out(self):
        self.assertEqual(
            dockerfile.instructions(
                "# a comment\nFROM x AS y\n\nRUN a \\\n# inside\n  && b\ncmd [1]\n"),
            [("FROM", "x AS y"), ("RUN", "a   && b"), ("CMD", "[1]")])

    def test_variables(self):
        self.assertEqual(dockerfile.substituted("${A}-$B-${C}", {"A": "1", "B": "2"}),
                         "1-2-")


class IgnoredTest(unittest.TestCase):
    def test_files_folders_and_names_anywhere(self):
        patterns = ["build", ".git", "**/*.pyc", "deploy/k8s"]
        for path in ("build/x", "build", ".git/HEAD", "a/b.pyc", "deploy/k8s/a/b"):
            self.assertTrue(dockerfile.ignored(path, patterns), path)
        for path in ("builder/x", "a/build.cc", ".gitignore", "deploy/k8s.md"):
            self.assertFalse(dockerfile.ignored(path, patterns), path)


class BuildTest(unittest.TestCase):
    def read(self, text, arguments=None):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "Dockerfile")
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            return dockerfile.Build(path, folder, {}, arguments or {}, folder)

    def test_a_global_argument_chooses_the_stage(self):
        text = "ARG V=cpu\nFROM x AS tools-cpu\nFROM y AS tools-cuda\n" \
               "FROM tools-${V} AS build\nCOPY --from=tools-cpu /a /b\n"
        self.assertEqual(self.read(text).stages["build"].source, "tools-cpu")
        build = self.read(text, {"V": "cuda"}).stages["build"]
        self.assertEqual(build.needs(), ["tools-cuda", "tools-cpu"])

    def test_what_it_cannot_do_is_refused(self):
        with self.assertRaises(dockerfile.Refused):
            self.read("FROM x\nRUN a\n")
        with self.assertRaises(dockerfile.Refused):
            self.read("RUN a\n")
        with self.assertRaises(dockerfile.Refused):
            self.read("FROM nowhere AS a\nRUN b\n").run("a")


if __name__ == "__main__":
    unittest.main()
