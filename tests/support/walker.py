"""A real browser that walks the console, and hears of everything that a page did wrong."""

import base64
import contextlib
import hashlib
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Locator, Page, Response, async_playwright
from tests.support.require import require

AXE = Path(__file__).resolve().parent.parent / "vendor" / "axe.min.js"
SIZES = {"narrow": (360, 740), "wide": (1280, 800)}
LOOKS = tuple((size, shade) for size in ("narrow", "wide") for shade in ("dark", "light"))
"""The last one is how a page is left behind."""
AGAIN = 5
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
        self.heard: list[tuple[str, str, int]] = []
        """Method, path and status of everything that was answered."""
        self.looked: list[str] = []
        """Paths of pages that were looked at in every size and shade."""
        page.on("pageerror", lambda error: self.faults.append(f"{page.url}: {error}"))
        page.on("console", self._console)
        page.on("response", self._answered)

    def _console(self, message) -> None:
        if message.type in ("error", "warning") and "status of" not in message.text:
            self.faults.append(f"{self.page.url}: {message.text}")

    def _answered(self, response: Response) -> None:
        self.heard.append((response.request.method, response.url.removeprefix(self.url), response.status))

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
        for _ in range(AGAIN):
            try:
                found = await self._read()
                break
            except PlaywrightError as fault:  # a page that is looked at may have gone on to its next state
                if "context was destroyed" not in fault.message:
                    raise
                await self.page.wait_for_load_state()
        else:
            raise AssertionError(f"{name}: the page does not come to rest")
        self.faults += [f"{name}: {fault}" for fault in found]

    async def _read(self) -> list[str]:
        found = list(await self.page.evaluate("window.__violations || []"))
        if not await self.page.evaluate("typeof axe === 'object'"):
            await self.page.evaluate(AXE.read_text("utf-8") + "; true")
        rules = await self.page.evaluate("axe.run(document, {resultTypes: ['violations']}).then(r => r.violations)")
        for rule in rules:
            where = json.dumps([node["html"][:120] for node in rule["nodes"][:3]])
            found.append(f"{rule['id']}: {rule['help']}: {where}")
        wide = await self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return [*found, f"{wide} pixels wider than the screen"] if wide > 0 else found

    async def look(self, name: str) -> None:
        """Judge the page that is shown in every size and shade, and keep what each looks like."""
        self.looked.append(urlsplit(self.page.url).path)
        for size, shade in LOOKS:
            width, height = SIZES[size]
            await self.page.set_viewport_size({"width": width, "height": height})
            await self.page.emulate_media(color_scheme=shade, reduced_motion="reduce")  # judged at rest
            await self.judge(f"{name}, {size} and {shade}")
            await self.picture(f"{name}-{size}-{shade}")

    async def picture(self, name: str) -> None:
        """Keep what the page looks like."""
        self.pictures.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=self.pictures / f"{name}.png", full_page=True)

    async def sign_in(self, name: str, password: str = "", code: str = "") -> None:
        """Sign in; the people who are made up have their names for passwords."""
        await self.page.goto(f"{self.url}/sign-in")
        await self.page.get_by_label("Name").fill(name)
        await self.page.get_by_label("Password").fill(password or name)
        await self.page.get_by_label("Code").fill(code)
        await self.page.get_by_role("button", name="Sign in").click()
        await self.page.wait_for_url(f"{self.url}/")

    async def go(self, *links: str) -> None:
        """Follow links by their words, one after the other."""
        for words in links:
            async with self.page.expect_navigation():
                await self.page.get_by_role("link", name=words, exact=True).first.click()

    async def press(self, button: str, *, within: str = "", proof: str = "", **fields: str) -> None:
        """Fill in the form of a button, and press it; what is folded away is unfolded first.

        Args:
            button: its words.
            within: what it is folded into, or the region of the page that it is in.
            proof: a password, for forms that ask who one is.
            **fields: by the names that the form has for them.
        """
        form = await self._form(button, within)
        for name, text in fields.items():
            await _fill(form, name, text)
        asked = await form.locator("[name=proof_password]").count()
        if proof and asked:
            await _fill(form, "proof_password", proof)
        pressed = form.get_by_role("button", name=button, exact=True)
        if asked or not proof:
            await pressed.click()
            return
        async with self.page.expect_navigation():
            await pressed.click()
        # What was proven a while ago may have lost its worth between the page and its button.
        if await self.page.get_by_role("heading", name="Prove again who you are").count():
            await self.press("Do it", proof=proof)

    async def within(self, words: str) -> Locator:
        """What is folded into these words, which is unfolded then; or the region of the page that is called so."""
        main = self.page.locator("main")
        folded = main.locator("summary").filter(has_text=re.compile(rf"^\s*{re.escape(words)}")).first
        region = main.get_by_role("region", name=words)
        await folded.or_(region).first.wait_for()
        if not await folded.count():
            return region
        place = folded.locator("xpath=..")
        if await place.get_attribute("open") is None:
            await folded.click()
        return place

    async def _form(self, button: str, within: str) -> Locator:
        place = await self.within(within) if within else self.page.locator("main")
        return place.locator("form").filter(has=self.page.get_by_role("button", name=button, exact=True)).first


async def _fill(form: Locator, name: str, text: str) -> None:
    field = form.locator(f"[name={name}]:visible").first
    kind = await field.evaluate("field => field.type")
    if kind == "select-one":
        await field.select_option(text)
    elif kind in ("checkbox", "radio"):
        await form.locator(f"[name={name}][value='{text}']").check()
    else:
        await field.fill(text)


@contextlib.asynccontextmanager
async def walker(
    url: str,
    pictures: Path,
    *,
    size: str = "wide",
    dark: bool = False,
    script: bool = True,
    certificate: Path | None = None,
):
    """Start the system's Chromium; yields a walker.

    Args:
        url: of the console.
        pictures: folder for them.
        size: of ``SIZES``.
        dark: the system's colours.
        script: whether pages may run theirs.
        certificate: of the server, to be trusted; without it no certificate is looked at, and the browser makes
            no passkeys.
    """
    width, height = SIZES[size]
    trusted = [f"--ignore-certificate-errors-spki-list={_public_key(certificate)}"] if certificate else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=require("chromium", "chromium"), args=["--no-sandbox", *trusted]
        )
        context = await browser.new_context(
            ignore_https_errors=certificate is None,
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            java_script_enabled=script,
        )
        await context.add_init_script(_LISTEN)
        made = Walker(await context.new_page(), url, pictures)
        try:
            yield made
        except BaseException:
            with contextlib.suppress(PlaywrightError):  # a browser that is gone shows nothing
                await made.picture("where-it-failed")
            raise
        finally:
            if made.faults:
                (pictures / "faults.txt").write_text("\n".join(made.faults) + "\n", "utf-8")
            await browser.close()


def _public_key(certificate: Path) -> str:
    """Hash of a certificate's public key, as Chromium is told of it."""
    key = x509.load_pem_x509_certificate(certificate.read_bytes()).public_key()
    text = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(text).digest()).decode()
