"""A page in headless Chromium: what it becomes, and a picture of it."""

import html
import json
import pathlib
import re
import shutil
import subprocess

NAMES = ("chromium", "chromium-browser", "google-chrome")

# Before the page's own scripts: what goes wrong in them is kept.
ERRORS = """<script>window.failures = [];
addEventListener("error", (event) => failures.push(event.message));
addEventListener("securitypolicyviolation",
    (event) => failures.push("fetches " + event.blockedURI));</script>"""


def chromium():
    for name in NAMES:
        if shutil.which(name):
            return name
    raise AssertionError("there is no Chromium: apt-get install chromium")


def run(arguments):
    # Without its sandbox, which root and containers have not.
    done = subprocess.run(
        [chromium(), "--headless=new", "--no-sandbox", "--disable-gpu",
         "--hide-scrollbars", "--force-color-profile=srgb",
         "--virtual-time-budget=5000", *arguments],
        capture_output=True, text=True, timeout=180)
    if done.returncode != 0:
        raise AssertionError(f"Chromium: {done.stderr[-2000:]}")
    return done.stdout


def with_script(page, script, path):
    """A copy of the page that runs `script` when all else has run."""
    text = pathlib.Path(page).read_text("utf-8")
    text = text.replace('<meta charset="utf-8">',
                        '<meta charset="utf-8">' + ERRORS, 1)
    text = text.replace("</body>", f"<script>{script}</script></body>", 1)
    pathlib.Path(path).write_text(text, "utf-8")
    return pathlib.Path(path).resolve().as_uri()


def evaluate(page, expression, folder):
    """The value of a JavaScript expression in the page, by way of JSON."""
    script = f"""addEventListener("load", () => {{
      const place = document.createElement("pre");
      place.id = "evaluated";
      place.textContent = JSON.stringify({{
          value: (() => {{ {expression} }})(), failures: window.failures}});
      document.body.append(place);
    }});"""
    url = with_script(page, script, pathlib.Path(folder) / "evaluated.html")
    dom = run(["--dump-dom", url])
    found = re.search(r'<pre id="evaluated">(.*?)</pre>', dom, re.DOTALL)
    if not found:
        raise AssertionError("the page's scripts did not run to their end")
    result = json.loads(html.unescape(found.group(1)))
    if result["failures"]:
        raise AssertionError(f"scripts failed: {result['failures']}")
    return result["value"]


def screenshot(page, path, width, height, script, folder):
    url = with_script(page, script, pathlib.Path(folder) / "pictured.html")
    run([f"--window-size={width},{height}", f"--screenshot={path}", url])
