"""Prints what the Autobahn suite found as Markdown: SUITE SERVER_REPORTS CLIENT_REPORTS.

Exits with 1 when a case failed.
"""

import collections
import datetime
import html
import json
import pathlib
import re
import subprocess
import sys

SECTIONS = {
    "1": "Framing",
    "2": "Pings and pongs",
    "3": "Reserved bits",
    "4": "Opcodes",
    "5": "Fragmentation",
    "6": "UTF-8",
    "7": "Closing",
    "9": "Limits",
    "10": "Various",
    "12": "Compression, payloads",
    "13": "Compression, parameters",
}
# What a case may end with, the bad ones last.
OUTCOMES = ["OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED", "WRONG CODE", "UNCLEAN", "FAILED"]
BAD = {"WRONG CODE", "UNCLEAN", "FAILED"}


def outcome(case):
    """The worse of how the messages went and how the connection was closed."""
    both = [case["behavior"], case["behaviorClose"]]
    return max((name if name in OUTCOMES else "FAILED" for name in both), key=OUTCOMES.index)


def order(case):
    return [int(number) for number in case.split(".")]


def plain(text):
    """A text of a report, which is HTML, as one cell of a table."""
    text = html.unescape(re.sub(r"<[^>]*>", " ", text))
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|")


def side(title, folder):
    folder = pathlib.Path(folder)
    ((_, cases),) = json.loads((folder / "index.json").read_text()).items()
    print(f"\n## {title}\n")
    print("| section | cases | " + " | ".join(name.lower() for name in OUTCOMES) + " |")
    print("|---|" + "---:|" * (len(OUTCOMES) + 1))
    total = collections.Counter()
    for section, name in SECTIONS.items():
        counts = collections.Counter(
            outcome(case) for number, case in cases.items() if number.split(".")[0] == section
        )
        if counts:
            row(f"{section} {name}", counts)
        total += counts
    row("all", total)
    rest = [
        number for number in cases if outcome(cases[number]) not in ("OK", "UNIMPLEMENTED")
    ]
    if rest:
        print("\n| case | outcome | what it does | what happened |\n|---|---|---|---|")
    for number in sorted(rest, key=order):
        report = json.loads((folder / cases[number]["reportfile"]).read_text())
        print(
            f"| {number} | {outcome(cases[number]).lower()} "
            f"| {plain(report['description'])} | {plain(report['result'])} |"
        )
    return sum(total[name] for name in BAD)


def row(name, counts):
    numbers = [sum(counts.values())] + [counts[outcome] for outcome in OUTCOMES]
    print(f"| {name} | " + " | ".join(str(number or "") for number in numbers) + " |")


def main():
    suite, server, client = sys.argv[1:]
    git = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    commit = subprocess.run(git, capture_output=True, text=True).stdout.strip() or "unknown"
    print("# The Autobahn WebSocket suite\n")
    print(f"Written by `tests/autobahn` on {datetime.date.today()}, commit {commit}, {suite}.")
    print(
        "\nA case counts as the worse of how its messages went and how its connection was closed."
        "\n*Non-strict*: allowed, though a stricter peer would notice the fault earlier."
        "\n*Informational*: the standard leaves it open, and the suite only notes what was done."
        "\n*Unimplemented*: the case needs permessage-deflate, which the ws driver does not have"
        " and therefore never agrees to."
    )
    bad = side("Our server", server) + side("Our client", client)
    sys.exit(1 if bad else 0)


main()
