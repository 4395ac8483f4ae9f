"""Everything that dashboards and alerts ask, asked of a real Prometheus.

It scrapes a real server, once a second, while that runs the demo. Then every
expression of every panel, variable and alert (without its comparison) must have
returned numbers, every metric that they name must be on the server's page, and
promtool must have nothing to say.
"""

import argparse
import json
import math
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

import promql

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/integration"))

from server_process import ServerProcess  # noqa: E402

DEPLOYED = ROOT / "deploy/prometheus"
MOST_SERIES = 2000
# What Prometheus itself knows of a target.
OWN_METRICS = {"up"}
LABEL_VALUES = re.compile(r"label_values\((?:(.+), *)?(\w+)\)")


class Promises:
    def __init__(self):
        self.broken = []

    def row(self, name, value, bar="–", holds=True):
        print(f"{name:52}{value!s:>12}   {bar:12}{'' if holds else 'BROKEN'}",
              flush=True)
        if not holds:
            self.broken.append(name)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def fetch(url, **parameters):
    if parameters:
        url += "?" + urllib.parse.urlencode(parameters, doseq=True)
    with urllib.request.urlopen(url, timeout=30) as response:
        return response.read().decode()


class Prometheus:
    """With the deployed configuration, and this server for its target."""

    def __init__(self, folder, target):
        self.url = f"http://127.0.0.1:{free_port()}"
        self.folder = pathlib.Path(folder)
        config = self.folder / "prometheus.yml"
        shutil.copytree(DEPLOYED / "rules", self.folder / "rules")
        deployed = (DEPLOYED / "prometheus.yml").read_text()
        if deployed.count("- kvrecall:9464\n") != 1:
            raise SystemExit("prometheus.yml has not the one target expected")
        config.write_text(deployed.replace("kvrecall:9464", target))
        self.log = open(self.folder / "prometheus.log", "w+")
        self.process = subprocess.Popen(
            ["prometheus", f"--config.file={config}",
             f"--storage.tsdb.path={self.folder / 'data'}",
             f"--web.listen-address={self.url.removeprefix('http://')}"],
            stdout=self.log, stderr=subprocess.STDOUT)

    def __enter__(self):
        deadline = time.monotonic() + 60
        while True:
            try:
                fetch(f"{self.url}/-/ready")
                return self
            except (urllib.error.URLError, ConnectionError):
                if (self.process.poll() is not None or
                        time.monotonic() > deadline):
                    self.__exit__()
                    raise SystemExit(
                        "Prometheus is not up: "
                        + (self.folder / "prometheus.log").read_text())
                time.sleep(0.1)

    def __exit__(self, *unused):
        self.process.terminate()
        self.process.wait(timeout=60)
        self.log.close()

    def ask(self, path, **parameters):
        """The answer's data, or what is wrong as a string."""
        try:
            return json.loads(fetch(f"{self.url}/api/v1/{path}",
                                    **parameters))["data"]
        except urllib.error.HTTPError as error:
            return json.loads(error.read().decode())["error"]

    def numbers(self, expression, start, end, instant):
        """The labels of each series with a number in it; or what is wrong."""
        if instant:
            data = self.ask("query", query=expression, time=end)
        else:
            data = self.ask("query_range", query=expression, start=start,
                            end=end, step=1)
        if isinstance(data, str):
            return data
        return [s["metric"] for s in data["result"]
                if any(not math.isnan(float(value)) for _, value in
                       s.get("values") or [s["value"]])]


def series_of(page):
    """The names and labels on a page of metrics, and the names alone."""
    series = {line.rsplit(" ", 1)[0] for line in page.splitlines()
              if line and not line.startswith("#")}
    return series, {s.partition("{")[0] for s in series}


def run_demo(server, limit):
    """A run with everything that a panel shows; and runs that end otherwise."""
    few = ["--limit", str(limit)] if limit else []
    common = ["submit", "--task", "demo", *few, "--json", "--budgets",
              "0.1,0.2,0.3,0.5", "--gap"]
    steps = 0
    for policies in ("h2o,h2o_evict,snapkv,streaming,random,oracle",
                     "h2o,h2o_evict@entropy(0.5),tova"):
        steps += json.loads(server.client(*common, "--policies",
                                          policies).stdout)["steps"]
    # Finished before, so its records are taken over.
    server.client(*common, "--policies",
                  "h2o,h2o_evict,snapkv,streaming,random,oracle")
    server.client("submit", "--task", "demo", "--fresh", "--time-limit", "1s",
                  "--json", check=False)
    run = server.client("submit", "--task", "demo", "--fresh",
                        "--detach").stdout.strip()
    server.client("cancel", run)
    server.client("export", run)
    return steps


def promtool(promises, name, *arguments, **options):
    done = subprocess.run(["promtool", *arguments], text=True, timeout=300,
                          capture_output=True, **options)
    said = done.stderr.strip()
    promises.row(f"promtool {name}", "clean" if not said else "not clean",
                 "clean", done.returncode == 0 and not said)
    if done.returncode != 0 or said:
        print(done.stdout, said)


class Asked:
    """Asks, and keeps what was asked for the table."""

    def __init__(self, prometheus, start, end, values):
        self.prometheus = prometheus
        self.start, self.end = start, end
        self.values = values | {"__rate_interval": "15s",
                                "__range": f"{math.ceil(end - start)}s"}
        self.metrics = set()
        self.lines = []

    def fill_in(self, text):
        for name, value in self.values.items():
            text = re.sub(rf"\$(?:{name}\b|{{{name}}})", lambda _: value, text)
        if "$" in text:
            raise SystemExit(f"a variable without a value: {text}")
        return text

    def expression(self, place, expression, instant=False, legend=""):
        filled = self.fill_in(expression)
        self.metrics |= promql.metrics(filled)
        found = self.prometheus.numbers(filled, self.start, self.end, instant)
        if isinstance(found, list):
            named = set(re.findall(r"\{\{(\w+)\}\}", legend))
            if any(not named <= set(labels) for labels in found):
                found = f"no label for '{legend}'"
        self.line(place, expression, found)

    def line(self, place, expression, found):
        self.lines.append((place, expression, len(found) if isinstance(
            found, list) else found))

    def label_values(self, place, query):
        """Those of a dashboard's variable."""
        selector, label = LABEL_VALUES.fullmatch(query).groups()
        filled = self.fill_in(selector)
        self.metrics |= promql.metrics(filled)
        found = self.prometheus.ask(f"label/{label}/values",
                                    **{"match[]": filled})
        self.line(place, query, found)
        return found

    def table(self, promises, title):
        print(f"\n{title}: place, expression, series")
        empty = 0
        for place, expression, series in self.lines:
            broken = series == 0 or isinstance(series, str)
            empty += broken
            print(f"  {place:58} {series!s:>5}  {expression}"
                  + ("   BROKEN" if broken else ""))
        print()
        promises.row(f"{title}: expressions", len(self.lines), "> 0",
                     bool(self.lines))
        promises.row(f"{title}: without a number", empty, "0", empty == 0)


def ask_dashboards(promises, prometheus, start, end):
    """Returns the names of the metrics that they read."""
    metrics = set()
    for path in sorted((ROOT / "deploy/grafana/dashboards").glob("*.json")):
        board = json.loads(path.read_text())
        variables = {v["name"]: v for v in board["templating"]["list"]
                     if v["type"] == "query"}
        asked = Asked(prometheus, start, end, {
            name: v.get("allValue") or v["current"]["value"]
            for name, v in variables.items()})
        for name, variable in variables.items():
            found = asked.label_values(f"${name}", variable["query"]["query"])
            if not variable["includeAll"]:
                promises.row(f"{path.stem}: ${name} may be its first value",
                             variable["current"]["value"], "",
                             variable["current"]["value"] in found)
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                asked.expression(f"{panel['title']} / {target['refId']}",
                                 target["expr"], target["instant"],
                                 target["legendFormat"])
        asked.table(promises, path.stem)
        metrics |= asked.metrics
    return metrics


def ask_rules(promises, prometheus, start, end):
    """Returns the metrics that the rules read, and what they record."""
    rules = [rule for group in prometheus.ask("rules")["groups"]
             for rule in group["rules"]]
    recorded = {r["name"] for r in rules if r["type"] == "recording"}
    alerts = [r for r in rules if r["type"] == "alerting"]
    asked = Asked(prometheus, start, end, {})
    for rule in rules:
        if rule["type"] == "recording":
            asked.expression(rule["name"], rule["query"])
            asked.metrics.discard(rule["name"])
            asked.expression(rule["name"], rule["name"])
    for alert in alerts:
        for operand in promql.operands(alert["query"]):
            asked.expression(alert["name"], operand)
    asked.table(promises, "rules")
    unhealthy = [r["name"] for r in rules if r["health"] != "ok"]
    promises.row("rules that failed", unhealthy or 0, "0", not unhealthy)
    firing = [a["name"] for a in alerts if a["state"] == "firing"]
    promises.row("alerts that fire, of a server that is well", firing or 0,
                 "0", not firing)
    untested = [name for file, names in
                (("recording", recorded), ("alerts", [a["name"]
                                                      for a in alerts]))
                for name in names
                if name not in (DEPLOYED / f"tests/{file}_test.yml"
                                ).read_text()]
    promises.row("rules without a unit test", untested or 0, "0",
                 not untested)
    return asked.metrics, recorded


def check_tools(promises, page):
    rules = [str(p) for p in sorted((DEPLOYED / "rules").glob("*.yml"))]
    tests = [str(p) for p in sorted((DEPLOYED / "tests").glob("*.yml"))]
    promtool(promises, "check metrics", "check", "metrics", input=page)
    promtool(promises, "check config", "check", "config",
             str(DEPLOYED / "prometheus.yml"))
    promtool(promises, "check rules", "check", "rules", *rules)
    promtool(promises, "test rules", "test", "rules", *tests)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--limit", type=int, default=0)
    options = parser.parse_args()
    promises = Promises()
    with tempfile.TemporaryDirectory(prefix="kvrecall_prometheus_") as folder, \
            ServerProcess(folder) as server:
        page_url = f"http://{server.metrics_address}/metrics"
        at_start = fetch(page_url)
        (pathlib.Path(folder) / "prometheus").mkdir()
        with Prometheus(f"{folder}/prometheus",
                        server.metrics_address) as prometheus:
            start = time.time()
            time.sleep(5)  # rates need what was before
            steps = run_demo(server, options.limit)
            time.sleep(12)  # the last step is scraped, rules are evaluated
            end = time.time()
            at_end = fetch(page_url)
            promises.row("demo: steps, seconds",
                         f"{steps}, {end - start:.0f}", "> 0", steps > 0)
            check_tools(promises, at_end)
            before, _ = series_of(at_start)
            after, on_page = series_of(at_end)
            promises.row("series of the server", len(after),
                         f"≤ {MOST_SERIES}", len(after) <= MOST_SERIES)
            promises.row("series that came or went",
                         sorted(before ^ after) or 0, "0", before == after)
            scrapes = prometheus.ask(
                "query", time=end,
                query="max_over_time(scrape_duration_seconds"
                      f"[{math.ceil(end - start)}s])")["result"]
            slowest = max(float(s["value"][1]) for s in scrapes)
            promises.row("slowest scrape, s", f"{slowest:.3f}", "< 1",
                         slowest < 1)
            wanted = ask_dashboards(promises, prometheus, start, end)
            by_rules, recorded = ask_rules(promises, prometheus, start, end)
            wanted |= by_rules
            missing = wanted - on_page - recorded - OWN_METRICS
            promises.row("metrics that panels and rules read",
                         len(wanted - recorded), "> 0", bool(wanted))
            promises.row("of these, not on the server's page",
                         sorted(missing) or 0, "0", not missing)
            unread = sorted(n for n in on_page - wanted
                            if not n.endswith(("_bucket", "_sum", "_count")))
            promises.row("metrics that nothing reads", len(unread))
            print("  " + " ".join(unread))
    print("broken: " + ", ".join(promises.broken) if promises.broken
          else "all promises held")
    return 1 if promises.broken else 0


if __name__ == "__main__":
    sys.exit(main())
