"""Look at the built documentation as a reader does, in headless Chromium.

Every page must load without an error in the console, show all its pictures, fit on a phone,
and hold no link to a page or a heading of the site that is not there; the search must find
what is written. Needs Chromium and chromedriver on the path.

    python docs/check_site.py docs/_build/html [--screenshots FOLDER]
"""

import argparse
import shutil
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlparse

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP, PHONE = (1280, 900), (390, 844)  # pixels
# A word of the guide, and the page that the search must show for it.
SEARCHES = {"exchangeable": "guide/rejection.html", "OpenSetClassifier": "generated/"}
SHOWN = ["index", "getting_started", "guide/rejection", "auto_examples/index", "api"]
SHOWN += ["generated/sk_center.OpenSetClassifier", "benchmarks/index"]
# Reads a page: its links and pictures, and the names that links may lead to.
READ = """
const all = selector => [...document.querySelectorAll(selector)];
return {
  links: all("a[href]").map(a => a.href),
  assets: all("link[rel=stylesheet], link[rel=icon]").map(l => l.href)
    .concat(all("script[src]").map(s => s.src)),
  broken: all("img").filter(i => !i.complete || !i.naturalWidth).map(i => i.src),
  nameless: all("article img").filter(i => !i.hasAttribute("alt")).map(i => i.src),
  ids: all("[id]").map(e => e.id),
  title: document.title,
  heading: all("h1").length,
};
"""

# The words or pictures of an article that are cut off at the right, unless they scroll.
CUT = """
const scrolls = e => e && e.tagName != "ARTICLE"
  && (["auto", "scroll"].includes(getComputedStyle(e).overflowX)
    || scrolls(e.parentElement));
return [...document.querySelectorAll("article :is(p, li, dt, dd, h1, h2, h3, img, table)")]
  .filter(e => e.getBoundingClientRect().right > window.innerWidth + 1 && !scrolls(e))
  .map(e => e.tagName + " " + e.textContent.slice(0, 40));
"""


class Handler(SimpleHTTPRequestHandler):
    """Serve files and say nothing."""

    def log_message(self, *args):
        """Say nothing."""


def open_browser(size):
    """Return a headless Chromium with a window of this size."""
    options = webdriver.ChromeOptions()
    for flag in [*FLAGS, f"--window-size={size[0]},{size[1]}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    return webdriver.Chrome(options=options, service=service)


def set_width(browser, size):
    """Show pages as wide as this; a headless window does not get that narrow by itself."""
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def read(browser, url):
    """Return what is on a page, with the errors of its console."""
    browser.get(url)
    # Pictures below load when they are near the window.
    browser.execute_script(
        "document.querySelectorAll('img').forEach(i => { i.loading = 'eager'; })"
    )
    WebDriverWait(browser, 20).until(
        lambda b: b.execute_script("return [...document.images].every(i => i.complete)")
    )
    page = browser.execute_script(READ)
    page["errors"] = [
        entry["message"]
        for entry in browser.get_log("browser")
        if entry["level"] == "SEVERE"
    ]
    return page


def complaints(pages, root, folder):
    """Yield what is wrong with pages that were read, by their addresses."""
    headings = {url: page["ids"] for url, page in pages.items()}
    for url, page in pages.items():
        name = url.removeprefix(root)
        for problem in ("broken", "nameless", "errors", "cut on a phone"):
            yield from (f"{name}: {problem}: {what}" for what in page[problem])
        if page["heading"] != 1 and not name.startswith("_modules"):
            yield f"{name}: {page['heading']} headings of the first level"
        if not page["title"]:
            yield f"{name}: no title"
        for link in {*page["links"], *page["assets"]}:
            target, fragment = urldefrag(urljoin(url, link))
            if not target.startswith(root):
                if link in page["assets"]:
                    yield f"{name}: needs {link}"
                continue
            path = unquote(urlparse(target).path).lstrip("/")
            if path.endswith("/") or not path:
                path += "index.html"
            if not (folder / path).is_file():
                yield f"{name}: broken link: {link}"
            elif fragment and unquote(fragment) not in headings.get(root + path, ()):
                yield f"{name}: no such heading: {link}"


def search(browser, root, word):
    """Return the pages that the search finds for a word."""
    browser.get(f"{root}search.html?q={word}")
    WebDriverWait(browser, 30).until(
        lambda b: b.find_elements(By.CSS_SELECTOR, "#search-results ul.search li a")
    )
    found = browser.find_elements(By.CSS_SELECTOR, "#search-results ul.search li a")
    return [link.get_attribute("href").removeprefix(root) for link in found]


def main():
    """Check a site, and exit with what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="what Sphinx built")
    parser.add_argument("--screenshots", type=Path, help="where to keep pictures of pages")
    args = parser.parse_args()

    server = ThreadingHTTPServer(
        ("localhost", 0), partial(Handler, directory=str(args.folder))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    root = f"http://localhost:{server.server_port}/"
    names = sorted(
        str(path.relative_to(args.folder)) for path in args.folder.rglob("*.html")
    )
    names = [name for name in names if not name.startswith(("_static", "_modules"))]

    problems = []
    browser = open_browser(DESKTOP)
    try:
        pages = {root + name: read(browser, root + name) for name in names}
        for word, expected in SEARCHES.items():
            found = search(browser, root, word)
            if not any(expected in link for link in found):
                problems.append(f"search: {word} finds {found}, not {expected}")
        shoot(browser, root, args.screenshots, "desktop")
        set_width(browser, PHONE)
        for url, page in pages.items():
            browser.get(url)
            page["cut on a phone"] = browser.execute_script(CUT)
        shoot(browser, root, args.screenshots, "phone")
    finally:
        browser.quit()
        server.shutdown()
    problems += sorted({*complaints(pages, root, args.folder)})
    links = sum(len(page["links"]) for page in pages.values())
    print(
        *problems, f"{len(pages)} pages, {links} links, {len(problems)} problems", sep="\n"
    )
    sys.exit(bool(problems))


def shoot(browser, root, folder, device):
    """Keep pictures of some pages."""
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    for name in SHOWN:
        browser.get(f"{root}{name}.html")
        picture = folder / f"{name.replace('/', '-')}-{device}.png"
        browser.save_screenshot(str(picture))


if __name__ == "__main__":
    main()
