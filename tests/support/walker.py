"""A real browser that walks the console, and hears of everything that a page did wrong."""

import contextlib
import json
from pathlib import Path

from playwright.async_api import Page, async_playwright
from tests.support.require import require

AXE = Path(__file__).resolve().parent.parent / "vendor" / "axe.min.js"
SIZES = {"narrow": (360, 740), "wide": (1280, 800)}
_LISTEN = """
window.__violations = [];
document.addEventListener("securitypolicyviolation",
  (event) => window.__violations.push(event.violatedDirective + " " + event.blockedURI + " " + event.sourceFile));
"""


class Walker:
    """One page in a browser. ``faults`` is everything that was wrong on any page it saw."""

    def __init__(self, page: Page, url: str, pictures: Path) -> None:
        self.page = page
        self.url = url
        self.pictures = pictures
        self.faults: list[str] = []
        self.seen: list[str] = []
        self.expected = 200
        page.on("pageerror", lambda error: self.faults.append(f"{page.url}: {error}"))
        page.on("console", self._console)

    def _console(self, message) -> None:
        if message.type in ("error", "warning") and "status of" not in message.text:
            self.faults.append(f"{self.page.url}: {message.text}")

    async def open(self, path: str, status: int = 200) -> None:
        """Look at a page, and at everything that can be wrong with it."""
        answer = await self.page.goto(self.url + path)
        assert answer is not None
        if answer.status != status:
            self.faults.append(f"{path}: {answer.status}")
        await self.judge(path)

    async def judge(self, name: str) -> None:
        """Judge the page that is shown: policy, structure, reach, width."""
        self.seen.append(name)
        for violation in await self.page.evaluate("window.__violations || []"):
            self.faults.append(f"{name}: {violation}")
        if not await self.page.evaluate("typeof axe === 'object'"):
            await self.page.evaluate(AXE.read_text("utf-8") + "; true")
        found = await self.page.evaluate("axe.run(document, {resultTypes: ['violations']}).then(r => r.violations)")
        for rule in found:
            where = json.dumps([node["html"][:120] for node in rule["nodes"][:3]])
            self.faults.append(f"{name}: {rule['id']}: {rule['help']}: {where}")
        wide = await self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if wide > 0:
            self.faults.append(f"{name}: {wide} pixels wider than the screen")

    async def picture(self, name: str) -> None:
        """Keep what the page looks like."""
        self.pictures.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=self.pictures / f"{name}.png", full_page=True)

    async def sign_in(self, name: str) -> None:
        """Sign in as one of the people who are made up."""
        await self.page.goto(f"{self.url}/sign-in")
        await self.page.get_by_label("Name").fill(name)
        await self.page.get_by_label("Password").fill(name)
        await self.page.get_by_role("button", name="Sign in").click()
        await self.page.wait_for_url(f"{self.url}/")


@contextlib.asynccontextmanager
async def walker(url: str, pictures: Path, *, size: str = "wide", dark: bool = False, script: bool = True):
    """Start the system's Chromium; yields a walker."""
    width, height = SIZES[size]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=require("chromium", "chromium"), args=["--no-sandbox"]
        )
        context = await browser.new_context(
            ignore_https_errors=True,
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            java_script_enabled=script,
        )
        await context.add_init_script(_LISTEN)
        try:
            yield Walker(await context.new_page(), url, pictures)
        finally:
            await browser.close()
