"""What a rule is, in words: its page in the documentation, and what ``keyfast diagnose explain`` prints (Markdown)."""

from collections.abc import Iterable, Iterator

from keyfast.core.diagnosis import engine
from keyfast.core.diagnosis.evidence import Account, Evidence, Product
from keyfast.core.diagnosis.finding import Affected, Option, Scope
from keyfast.core.diagnosis.rule import Rule, Sign
from keyfast.core.diagnosis.table import FAMILIES, RULES

_BY_CODE = {rule.code: rule for rule in RULES}
CODES = (engine.CANNOT_TELL, *_BY_CODE)
"""Every code that has a page."""

_TITLES = {
    "machine": "The client on its machine",
    "reach": "The way to the server",
    "tls": "TLS",
    "status": "What the web server answers",
    "mode": "The way of authenticating",
    "account": "The account",
    "forecast": "The account's future",
    "token": "Tokens and keys",
    "record": "What is on record",
    "policy": "Policies, versions and consoles",
    "refusals": "Keyfast's own refusals",
}
_EVERYBODY = Affected(Scope.ACCOUNT, "DOMAIN\\account", 0)


def index() -> str:
    """Tables of every rule, family by family."""
    lines: list[str] = []
    for family, found in FAMILIES.items():
        lines += [f"### {_TITLES[family]}", "", "| code | what it says | |", "|---|---|---|"]
        lines += [f"| [{rule.code}](rules/{rule.code}.md) | {_cause(rule)} | {rule.weight} |" for rule in found]
        lines.append("")
    return "\n".join(lines)


def of(code: str) -> str:
    """The page of one finding, by its code.

    Raises:
        KeyError: there is no such finding.
    """
    return _cannot_tell() if code == engine.CANNOT_TELL else _page(_BY_CODE[code])


def _page(rule: Rule) -> str:
    parts = [f"# {rule.code}\n", f"**{_cause(rule)}**\n", f"Stage `{rule.stage}`, weight `{rule.weight}`.\n"]
    parts += [f"{rule.about}\n", "## Evidence\n", f"With what it needs alone it is **{rule.base}**.\n"]
    for title, signs in (
        ("It needs all of these", rule.needs),
        ("Any of these makes it certain", rule.proofs),
        ("Each of these makes it surer", rule.supports),
        ("Each of these makes it less sure", rule.against),
        ("Any of these rules it out", rule.never),
    ):
        if signs:
            parts += [f"{title}:\n", *_signs(signs), ""]
    told = {product: _options(rule, product) for product in Product}
    if told[Product.SEE] == told[Product.KEYFAST]:
        parts += ["## What can be done\n", *(told[Product.SEE] or ["Nothing: it is good to know.\n"])]
    else:
        parts += ["## What can be done\n", "### Symantec Endpoint Encryption\n", *told[Product.SEE]]
        parts += ["### Keyfast\n", *told[Product.KEYFAST]]
    return "\n".join([*parts, "## To be sure\n", rule.look, ""])


def _cannot_tell() -> str:
    about = " ".join(engine.CANNOT_TELL_ABOUT.split())
    return "\n".join([f"# {engine.CANNOT_TELL}\n", "**Cannot tell, because ...**\n", about, ""])


def _cause(rule: Rule) -> str:
    return rule.cause.replace("The account {account}", "The account").replace("{account}", "the account")


def _signs(signs: Iterable[Sign]) -> Iterator[str]:
    for sign in signs:
        if sign.parts:
            yield f"- {sign.what}:"
            yield from (f"    - {part.what} ({part.source.name.lower()})" for part in sign.parts)
        else:
            yield f"- {sign.what} ({sign.source.name.lower()})"


def _options(rule: Rule, product: Product) -> list[str]:
    evidence = Evidence(product=product, affected=_EVERYBODY, account=Account("DOMAIN\\account"))
    return [_option(number, option) for number, option in enumerate(rule.options(evidence), 1)]


def _option(number: int, option: Option) -> str:
    command = f"\n\n       {option.command}" if option.command else ""
    return f"{number}. {_sentence(option.sentence)} Effort: {option.effort}. Risk: {option.risk}.{command}\n"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
