"""Checks that examples/generate/README.md speaks of each client in the client's own words.

    python3 scripts/check_clients_page.py FOLDER

FOLDER is examples/generate with all clients generated. Each name that the page quotes of a client must occur in that
client or in its scenario, so that a generator which renames something does not go unnoticed.
"""

import re
import sys
from pathlib import Path

# Folders of what is installed or built beside a client.
OF_OTHERS = {"node_modules", "target", "vendor"}


def main() -> None:
    folder = Path(sys.argv[1])
    page = (folder / "README.md").read_text(encoding="utf-8")
    clients = re.findall(r"^\| \[([\w-]+)\]", page, re.MULTILINE)
    section = page.split("## Notes on each generator\n")[1].split("\n## ")[0]
    paragraphs = section.strip().split("\n\n")
    if len(paragraphs) != len(clients):
        sys.exit(f"error: {len(clients)} clients have {len(paragraphs)} paragraphs.")
    for client, paragraph in zip(clients, in_the_order_of(clients, paragraphs)):
        files = [file for file in (folder / client).rglob("*") if file.is_file() and not OF_OTHERS.intersection(file.parts)]
        known = "\n".join(file.name + "\n" + file.read_text(encoding="utf-8", errors="ignore") for file in files)
        # Punctuation is the page's own, and what is shorter is found anywhere.
        names = {name for quoted in re.findall(r"`([^`]+)`", paragraph) for name in re.findall(r"\w{4,}", quoted)}
        unknown = sorted(name for name in names if not re.search(rf"\b{name}\b", known))
        if unknown or not names:
            sys.exit(f"error: the page says of {client} what it does not have: {', '.join(unknown)}")
        print(f"{client}: {len(names)} names")


def in_the_order_of(clients: list[str], paragraphs: list[str]) -> list[str]:
    """The paragraphs begin with the clients' names, written for people: `**openapi-generator, Go.**`."""
    written = {}
    for paragraph in paragraphs:
        title = paragraph.split("**")[1].lower().replace(" and openapi-fetch", "")
        written["-".join(re.findall(r"[a-z]+", title))] = paragraph
    return [written[client] for client in clients]


main()
