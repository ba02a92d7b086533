# SPDX-License-Identifier: Apache-2.0
"""The page of `sterna bench --report` as Chromium shows it: of a real run against a real server."""
import html.parser
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import pytest
from conftest import STERNA

CHROMIUM = shutil.which("chromium")
CLIENTS, DURATION_S = 10, 2

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

# Boxes of texts of each plot that lie upon one another, or reach out of their plot.
OVERLAPS = """
<script>
const found = [];
for (const svg of document.querySelectorAll("figure svg[role=img]")) {
  const frame = svg.getBoundingClientRect();
  const boxes = [...svg.querySelectorAll("text")].map(t => [t.textContent, t.getBoundingClientRect()]);
  boxes.forEach(([name, box], i) => {
    if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.bottom > frame.bottom + 1)
      found.push(name + " reaches out");
    for (const [other, its] of boxes.slice(0, i))
      if (box.left < its.right && its.left < box.right && box.top < its.bottom - 2 && its.top < box.bottom - 2)
        found.push(name + " upon " + other);
  });
}
document.body.dataset.overlaps = JSON.stringify(found);
document.body.dataset.plots = document.querySelectorAll("figure svg[role=img]").length;
document.body.dataset.wide = document.documentElement.scrollWidth > window.innerWidth;
</script></body>"""


class Page(html.parser.HTMLParser):
    """What a test asks of a document: its <data> elements, its figures, attributes of its body, and its text."""

    def __init__(self, text):
        super().__init__()
        self.data, self.figures, self.body, self.titles, self.text = {}, [], {}, 0, []
        self.feed(text)
        self.text = " ".join(self.text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "data":
            assert attributes["id"] not in self.data
            self.data[attributes["id"]] = float(attributes["value"])
        elif tag == "figure":
            self.figures.append(attributes["id"])
        elif tag == "body":
            self.body = attributes
        elif tag == "title":
            self.titles += 1

    def handle_data(self, data):
        self.text.append(data)


def show(tmp_path, path, width=1280):
    """Open the file in a browser of its own; its document, and what the browser said on its console.  It writes to
    files: a helper of its own that lives longer would keep a pipe open."""
    place = pathlib.Path(tempfile.mkdtemp(dir=tmp_path))
    with open(place / "document", "wb") as document, open(place / "log", "wb") as log:
        subprocess.run(
            [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
             "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
             "--enable-logging=stderr", f"--window-size={width},1000", f"--user-data-dir={place}/profile",
             "--dump-dom", path.as_uri()],
            env={**os.environ, "HOME": str(place)}, stdin=subprocess.DEVNULL, stdout=document, stderr=log,
            timeout=240, check=True)
    console = re.findall(r":CONSOLE[:(].*", (place / "log").read_text(errors="replace"))
    return Page((place / "document").read_text()), console


@pytest.fixture
def bench(server, tmp_path):
    """Run it against the server; returns the result as JSON, and the path of the page."""
    def run(*options):
        path = tmp_path / "report.html"
        done = subprocess.run(
            [STERNA, "bench", "--user", server.user, "--password-stdin", "--clients", str(CLIENTS), "--duration",
             str(DURATION_S), "--json", "-", "--report", str(path), *options, f"127.0.0.1:{server.port}"],
            input=f"{server.password}\n", capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout), path
    return run


def expected_of(way, flow):
    """The headline figures of one direction."""
    latency = flow["latency"]
    return {f"{way}-packets-per-s": flow["packets_per_s"], f"{way}-mbit-per-s": flow["mbit_per_s"],
            f"{way}-loss-percent": flow["loss_percent"], f"{way}-lost": flow["lost"],
            f"{way}-p50-us": latency["p50_us"], f"{way}-p99-us": latency["p99_us"],
            f"{way}-p999-us": latency["p999_us"]}


def test_headline_is_what_the_json_says(server, bench, tmp_path):
    result, path = bench("--pid", str(server.process.pid))
    page, console = show(tmp_path, path)
    assert page.data == pytest.approx(
        {**expected_of("up", result["up"]), **expected_of("down", result["down"]),
         "server-us": result["cpu"]["server_us_per_packet"], "own-us": result["cpu"]["own_us_per_packet"]}, rel=1e-6)
    assert page.data["up-packets-per-s"] > 0 and page.data["down-packets-per-s"] > 0
    assert console == []
    for name in "rate", "latency", "spread":
        assert {f"{name}-up", f"{name}-down"} <= set(page.figures)
    assert {"tail", "cpu"} <= set(page.figures)
    assert f"{result['up']['sent']:,}" in page.text
    assert f"127.0.0.1:{server.port}" in page.text


def test_page_of_allocations(bench, tmp_path):
    result, path = bench("--mix", "alloc")
    page, console = show(tmp_path, path)
    time = result["allocations"]["time"]
    assert page.data == pytest.approx(
        {"cycles-per-s": result["allocations"]["cycles"] / result["load_s"], "refused": 0,
         "cycle-p50-us": time["p50_us"], "cycle-p99-us": time["p99_us"], "cycle-p999-us": time["p999_us"],
         "own-us": result["cpu"]["own_us_per_packet"]}, rel=1e-6)
    assert page.data["cycles-per-s"] > 0
    assert console == []
    assert page.figures[0] == "cycles"


def test_no_script_can_run(bench, tmp_path):
    """Were there one.  That its attempt is told proves as well that the tests above would hear of a mistake."""
    _, path = bench("--direction", "up")
    hostile = tmp_path / "hostile.html"
    hostile.write_text(path.read_text().replace("</body>", OVERLAPS))
    page, console = show(tmp_path, hostile)
    assert len(console) == 1 and "Content Security Policy" in console[0]
    assert page.body == {}


@pytest.mark.parametrize("width", [500, 1280])
def test_labels_stand_apart(bench, tmp_path, width):
    _, path = bench("--mix", "video", "--direction", "both")
    text, replaced = re.subn(r"<meta http-equiv[^>]*>", "", path.read_text())
    assert replaced == 1
    measured = tmp_path / "measured.html"
    measured.write_text(text.replace("</body>", OVERLAPS))
    page, _ = show(tmp_path, measured, width)
    assert int(page.body["data-plots"]) >= 7
    assert json.loads(page.body["data-overlaps"]) == []
    assert page.body["data-wide"] == "false"
