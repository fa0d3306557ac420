"""
Check the Markdown files: local links lead somewhere, and fenced Python and JSON parse.

    python scripts/check_docs.py

A block that is a fragment on purpose says so in its fence: three backticks, `python`, a space, `fragment`.
"""

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)
FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<body>.*?)^ *```$", re.MULTILINE | re.DOTALL)


def main() -> int:
    """Print one line per fault and return 1 if there is any."""
    pages = sorted(
        [
            *ROOT.glob("*.md"),
            *(
                page
                for folder in ("docs", "examples", "deploy", "web", "spec")
                for page in (ROOT / folder).rglob("*.md")
                if "node_modules" not in page.parts
            ),
        ]
    )
    faults = [fault for page in pages for fault in check(page)]
    for fault in faults:
        print(fault)
    print(f"docs: {len(pages)} pages, {len(faults)} faults")
    return 1 if faults else 0


def check(page: Path) -> Iterator[str]:
    """Yield the faults of one page, each as `path:line: what`."""
    text = page.read_text(encoding="utf-8")
    for block in FENCE.finditer(text):
        if fault := _block_fault(block["info"].strip(), _dedent(block["body"], len(block["indent"]))):
            yield f"{_place(page, text, block.start())}: {fault}"
    # Same length, so that positions still tell the line.
    prose = FENCE.sub(lambda block: re.sub(r"[^\n]", " ", block[0]), text)
    prose = re.sub(r"`[^`\n]*`", lambda code: " " * len(code[0]), prose)
    for link in LINK.finditer(prose):
        if fault := _link_fault(page, link[1] or link[2]):
            yield f"{_place(page, text, link.start())}: {fault}"


def _place(page: Path, text: str, position: int) -> str:
    return f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, position) + 1}"


def _dedent(body: str, width: int) -> str:
    return "".join(line[width:] if line[:width].isspace() else line for line in body.splitlines(keepends=True))


def _block_fault(info: str, body: str) -> str | None:
    try:
        if info == "python":
            compile(body, "block", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        elif info == "json":
            json.loads(body)
    except (SyntaxError, ValueError) as error:
        return f"this {info} block does not parse: {error}"
    return None


def _link_fault(page: Path, target: str) -> str | None:
    if re.match(r"[a-z][a-z+.-]*:", target):
        return None
    path, _, anchor = target.partition("#")
    file = page if not path else (ROOT / path.lstrip("/") if path.startswith("/") else page.parent / path)
    if not file.exists():
        return f"the link to {target} leads nowhere"
    if anchor and file.suffix == ".md" and anchor not in _anchors(file):
        return f"{file.name} has no heading for #{anchor}"
    return None


def _anchors(page: Path) -> set[str]:
    """Name a page's headings as GitHub does; HTML anchors count as well."""
    text = page.read_text(encoding="utf-8")
    prose = FENCE.sub("", text)
    found: dict[str, int] = {}
    names: set[str] = set(re.findall(r'<a (?:id|name)="([^"]+)"', text))
    for heading in HEADING.findall(prose):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        count = found[slug] = found.get(slug, -1) + 1
        names.add(f"{slug}-{count}" if count else slug)
    return names


if __name__ == "__main__":
    sys.exit(main())
