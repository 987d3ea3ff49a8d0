"""Check a built site: python docs/check_site.py build/site

mkdocs has checked the links between pages already. This looks at what mkdocs does not: no page fetches a script, a style, a font or
a picture from another machine, and each file that a page needs is there.
"""

from __future__ import annotations

import html.parser
import pathlib
import sys
import urllib.parse
from typing import Final

_FETCHES: Final = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "object": "data"}
_RELATIONS_NOT_FETCHED: Final = {"canonical", "prev", "next", "alternate"}


class _Fetched(html.parser.HTMLParser):
    """Collects the addresses that a browser fetches when it shows a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        address = values.get(_FETCHES.get(tag, ""))
        if address and values.get("rel") not in _RELATIONS_NOT_FETCHED:
            self.addresses.append(address)


def faults(site: pathlib.Path) -> list[str]:
    """Return one line for each address that is on another machine, and for each file that is missing."""
    found = []
    for page in sorted(site.rglob("*.html")):
        parser = _Fetched()
        parser.feed(page.read_text(encoding="utf-8"))
        for address in parser.addresses:
            parts = urllib.parse.urlsplit(address)
            if parts.scheme == "data":
                continue
            if parts.scheme or parts.netloc:
                found.append(f"{page.relative_to(site)}: fetches {address}")
                continue
            base = site if parts.path.startswith("/") else page.parent
            if not (base / urllib.parse.unquote(parts.path).lstrip("/")).exists():
                found.append(f"{page.relative_to(site)}: there is no {address}")
    styles = [path for path in site.rglob("*.css") if "url(http" in path.read_text(encoding="utf-8").replace('"', "").replace("'", "")]
    return [*found, *(f"{path.relative_to(site)}: fetches from another machine" for path in styles)]


if __name__ == "__main__":
    lines = faults(pathlib.Path(sys.argv[1]))
    print("\n".join(lines) or "the site needs nothing from another machine")
    sys.exit(bool(lines))
