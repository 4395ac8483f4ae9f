#!/usr/bin/env python3
"""Writes the dashboards beside it from their description in source/.

  deploy/grafana/generate.py           writes dashboards/*.json
  deploy/grafana/generate.py --check   fails where one is not what it would write
"""

import json
import pathlib
import sys

from source import live_experiment, server

FOLDER = pathlib.Path(__file__).resolve().parent / "dashboards"
BOARDS = {"live_experiment": live_experiment, "server": server}


def main():
    if sys.argv[1:] not in ([], ["--check"]):
        sys.exit(__doc__)
    for name, board in BOARDS.items():
        path = FOLDER / f"{name}.json"
        text = json.dumps(board.dashboard(), indent=2, ensure_ascii=False)
        text += "\n"
        if not sys.argv[1:]:
            path.write_text(text, "utf-8")
        elif not path.exists() or path.read_text("utf-8") != text:
            sys.exit(f"{path} is not what its description gives: run "
                     "deploy/grafana/generate.py")


if __name__ == "__main__":
    main()
