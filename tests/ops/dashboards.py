"""The dashboards: Grafana's schema, and what it does not say.

Every panel has a title, a description, a real unit and the data source of the
variable; ids are unique, no panel overlaps another or leaves the 24 columns;
rates follow $__rate_interval; nothing is left to fill in at an import.
"""

import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
COLUMNS = 24
# Grafana shows the text after this as it is: for what it has no unit for.
OWN_UNITS = {"nats", "tok/s", "tokens", "steps", "samples", "/s", "/min",
             "cores"}
COMPILER = ["--noEmit", "--strict", "--skipLibCheck", "--module", "esnext",
            "--moduleResolution", "bundler", "--target", "es2022"]
GRAFANAS_VARIABLES = {"__rate_interval", "__range", "__all"}
MISTAKES = (('"drawStyle": "line"', '"drawStyle": "lin"'),
            ('"cellGap": 1', '"cellGap": 1, "cellgap": 1'),
            ('"legendFormat"', '"legendFromat"'),
            ('"noValue"', '"novalue"'),
            ('"graphTooltip": 1', '"graphTooltip": 7'),
            ('"refresh": 2', '"refresh": "2"'))


class Checks:
    def __init__(self):
        self.broken = []
        self.made = 0

    def that(self, holds, message):
        self.made += 1
        if not holds:
            self.broken.append(message)


def as_program(text):
    """A dashboard as the value of a typed constant, which tsc then checks."""
    return ("import type { Board } from './board';\n"
            f"export const board: Board = {text.rstrip()};\n")


def typed(folder, texts):
    """{name: text} of dashboards -> {name: what the compiler finds wrong}."""
    for name, text in texts.items():
        (folder / f"{name}.ts").write_text(as_program(text), "utf-8")
    done = subprocess.run(
        [folder / "node_modules/.bin/tsc", *COMPILER,
         *(f"{name}.ts" for name in texts)],
        cwd=folder, text=True, capture_output=True, timeout=300)
    found = {name: "" for name in texts}
    for line in done.stdout.splitlines():
        name = line.partition(".ts(")[0]
        if name in found:
            found[name] += line + "\n"
    if bool(done.returncode) != any(found.values()):
        raise SystemExit(f"tsc: {done.stderr or done.stdout}")
    return found


def check_schema(check, folder, texts):
    for name, found in typed(folder, texts).items():
        check.that(not found, f"{name}: not Grafana's schema: {found[:2000]}")
    # The check itself: each of these mistakes must be found.
    text = texts["live_experiment"]
    mistakes = {f"mistake{i}": text.replace(right, wrong, 1)
                for i, (right, wrong) in enumerate(MISTAKES)}
    for name, found in typed(folder, mistakes).items():
        check.that(mistakes[name] != text and found,
                   f"the schema's check does not find {name}")


def is_unit(unit, known):
    if unit.startswith("suffix: "):
        return unit.removeprefix("suffix: ") in OWN_UNITS
    return unit in known


def units_of(panel):
    """All that are named anywhere in a panel; the first is that of its data."""
    defaults = panel["fieldConfig"]["defaults"]
    found = [defaults.get("unit", "")]
    found += [value["value"] for override in panel["fieldConfig"]["overrides"]
              for value in override["properties"] if value["id"] == "unit"]
    for part in ("yAxis", "cellValues"):
        if part in panel["options"]:
            found.append(panel["options"][part]["unit"])
    return found


def overlap(a, b):
    return (a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"] and
            a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"])


def check_places(check, name, panels):
    ids = [panel["id"] for panel in panels]
    check.that(len(ids) == len(set(ids)), f"{name}: two panels have one id")
    for i, panel in enumerate(panels):
        place = panel["gridPos"]
        check.that(place["w"] > 0 and place["h"] > 0 and place["x"] >= 0 and
                   place["y"] >= 0 and place["x"] + place["w"] <= COLUMNS,
                   f"{name}: {panel['title']} leaves the grid")
        for other in panels[:i]:
            check.that(not overlap(place, other["gridPos"]),
                       f"{name}: {panel['title']} overlaps {other['title']}")


def check_panel(check, where, panel, known_units):
    check.that(panel["title"].strip(), f"{where}: no title")
    check.that(panel["description"].strip().endswith((".", "?")),
               f"{where}: no description, or no sentence")
    for unit in units_of(panel):
        check.that(is_unit(unit, known_units), f"{where}: '{unit}' is no unit")
    for target in (panel, *panel["targets"]):
        check.that(target["datasource"] == {"type": "prometheus",
                                            "uid": "${datasource}"},
                   f"{where}: another data source than the variable's")
    refs = [target["refId"] for target in panel["targets"]]
    check.that(refs and len(refs) == len(set(refs)),
               f"{where}: queries without a name of their own")
    for target in panel["targets"]:
        # What is drawn over time follows the zoom; one number is of all of it.
        wanted = "$__range" if target["instant"] else "$__rate_interval"
        for window in re.findall(r"\[([^\]]*)\]", target["expr"]):
            check.that(window == wanted,
                       f"{where}: a window of {window}, not {wanted}")


def check_transformations(check, where, panel):
    """The schema leaves their options open: columns must be the query's."""
    labels = set()
    for target in panel["targets"]:
        for names in re.findall(r"\bby \(([^)]*)\)", target["expr"]):
            labels |= {name.strip() for name in names.split(",")}
    wanted_x = panel["options"].get("xField")
    for step in panel.get("transformations", []):
        options, fields = step["options"], []
        if step["id"] == "sortBy":
            fields = [each["field"] for each in options["sort"]]
        elif step["id"] == "groupingToMatrix":
            fields = [options["rowField"], options["columnField"]]
            check.that(wanted_x in (None, "\\".join(fields)),
                       f"{where}: the bars' {wanted_x} is no column")
            wanted_x = None
        else:
            check.that(step["id"] == "organize",
                       f"{where}: {step['id']}, of which nothing is known")
        check.that(set(fields) <= labels,
                   f"{where}: {fields} are no labels of the query")
    check.that(wanted_x is None or wanted_x in labels,
               f"{where}: the bars' {wanted_x} is no column")


def check_board(check, name, board, known_units):
    panels = board["panels"]
    check.that(board["editable"] is False, f"{name}: editable")
    check.that("__inputs" not in board and "__requires" not in board and
               "${DS_" not in json.dumps(board),
               f"{name}: something to fill in at an import")
    variables = {v["name"]: v for v in board["templating"]["list"]}
    check.that(variables["datasource"]["type"] == "datasource",
               f"{name}: the data source is no variable")
    used = set(re.findall(r"\$\{?(\w+)\}?", json.dumps(board)))
    unknown = used - set(variables) - GRAFANAS_VARIABLES
    check.that(not unknown, f"{name}: unknown variables {unknown}")
    check.that(set(variables) <= used, f"{name}: variables that nothing uses")
    for variable in variables.values():
        check.that(variable["type"] == "datasource" or
                   variable["datasource"]["uid"] == "${datasource}",
                   f"{name}: {variable['name']} has another data source")
    check_places(check, name, panels)
    titles = [panel["title"] for panel in panels]
    check.that(len(titles) == len(set(titles)), f"{name}: two of one title")
    check.that(panels[0]["type"] == "row", f"{name}: panels above the rows")
    for panel in panels:
        if panel["type"] != "row":
            where = f"{name}: {panel['title']}"
            check_panel(check, where, panel, known_units)
            check_transformations(check, where, panel)


def main():
    folder = pathlib.Path(sys.argv[1])
    known_units = set(json.loads(subprocess.run(
        ["node", "units.mjs"], cwd=folder, check=True, text=True,
        capture_output=True).stdout))
    check = Checks()
    texts = {path.stem: path.read_text("utf-8") for path in sorted(
        (ROOT / "deploy/grafana/dashboards").glob("*.json"))}
    check_schema(check, folder, texts)
    uids = []
    for name, text in texts.items():
        board = json.loads(text)
        uids.append(board["uid"])
        check_board(check, name, board, known_units)
        panels = [p for p in board["panels"] if p["type"] != "row"]
        print(f"{name}: {len(panels)} panels, "
              f"{sum(len(p['targets']) for p in panels)} queries, "
              f"{len(board['templating']['list'])} variables")
    check.that(len(uids) == 2 and len(set(uids)) == 2, f"uids are {uids}")
    packages = json.loads((folder / "package.json").read_text())
    print(f"schema: @grafana/schema "
          f"{packages['dependencies']['@grafana/schema']}; "
          f"units: {len(known_units)}; {check.made} checks")
    for message in check.broken:
        print(f"BROKEN  {message}")
    print("broken promises: " + str(len(check.broken)) if check.broken
          else "all promises held")
    return 1 if check.broken else 0


if __name__ == "__main__":
    sys.exit(main())
