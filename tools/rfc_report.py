#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Tell which rules of the RFCs are proven by which tests.

    tools/rfc_report.py            write docs/rfc/coverage.md and the table of standards in README.md
    tools/rfc_report.py --check    fail when one of them is stale, a test names an unknown rule, a
                                   MUST in scope has no test, or a standard has no rules
    tools/rfc_report.py --missing  list the rules in scope without a test

docs/rfc/rules.csv holds the rules, docs/rfc/standards.csv the RFCs whose rules they are.  A test names those that it
proves in a comment right above its
function: /* Proves T-8656-7.2-03, T-8656-7.2-04 */ in C, # Proves T-8656-7.2-03 in Python.
"""

import csv
import pathlib
import re
import sys

RULES = pathlib.Path("docs/rfc/rules.csv")
PAGE = pathlib.Path("docs/rfc/coverage.md")
STANDARDS = pathlib.Path("docs/rfc/standards.csv")
README = pathlib.Path("README.md")
TABLE = re.compile(r"(?<=<!-- standards, by tools/rfc_report.py -->\n).*?(?=<!-- end -->)", re.DOTALL)
# A lower-case `must` is plain protocol behaviour, without a key word of RFC 2119; it binds as much.
BINDING = {"MUST", "MUST NOT", "must"}

RULE_ID = re.compile(r"T-[A-Z0-9]+-\d[\d.]*(?:-\d+)?")
PROVES = re.compile(r"(?:/\*|#|^ \*)\s*Proves\s+(?=T-)", re.MULTILINE)
C_FUNCTION = re.compile(r"^(?:static )?(?:void|int) (\w+)\(", re.MULTILINE)
PYTHON_FUNCTION = re.compile(r"^\s*(?:async )?def (test_\w+)\(", re.MULTILINE)
PYTHON_COMMENT = re.compile(r"(?:[^\n]*\n)(?:\s*#[^\n]*\n)*")


def proofs_in(path):
    """Yield (rule id, test name) for every `Proves` comment of a file."""
    text = path.read_text(encoding="utf-8")
    is_c = path.suffix == ".c"
    for match in PROVES.finditer(text):
        if is_c:
            end = text.find("*/", match.end())
        else:
            end = PYTHON_COMMENT.match(text, match.end()).end()
        function = (C_FUNCTION if is_c else PYTHON_FUNCTION).search(text, end)
        name = function.group(1) if function else "?"
        for rule in RULE_ID.findall(text[match.end():end]):
            yield rule, name


def find_proofs():
    """Return {rule id: ["file:test", ...]} of all tests."""
    proofs = {}
    for path in sorted(pathlib.Path("tests").rglob("*")):
        if path.suffix in {".c", ".py"} and path.is_file():
            for rule, name in proofs_in(path):
                tests = proofs.setdefault(rule, [])
                test = f"{path.relative_to('tests')}:{name}"
                if test not in tests:
                    tests.append(test)
    return proofs


def read_rules():
    with RULES.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def cell(text):
    """Text that cannot break a Markdown table."""
    return text.replace("|", "\\|")


def summary(rules, proofs):
    """Lines with the counts by level."""
    lines = ["| level | in scope | proven by a test | without a test | left out |",
             "|---|---|---|---|---|"]
    levels = ["MUST", "MUST NOT", "must", "SHOULD", "SHOULD NOT", "REC", "MAY", "DRV", "LOC"]
    for level in levels + ["all"]:
        chosen = [rule for rule in rules if level in (rule["level"], "all")]
        inside = [rule for rule in chosen if rule["scope"] == "in"]
        proven = [rule for rule in inside if rule["id"] in proofs]
        lines.append(f"| {level} | {len(inside)} | {len(proven)} | {len(inside) - len(proven)} "
                     f"| {len(chosen) - len(inside)} |")
    return lines


def page(rules, proofs):
    """The whole text of docs/rfc/coverage.md."""
    lines = [
        "# Rules of the RFCs, and the tests that prove them",
        "",
        "Written by `tools/rfc_report.py` from [rules.csv](rules.csv) and the `Proves` comments of",
        "the tests; do not edit.  [README.md](README.md) tells what the levels mean and how gaps",
        "in the RFCs were decided (`A-nn`).",
        "",
        *summary(rules, proofs),
    ]
    for section in dict.fromkeys(rule["section"] for rule in rules):
        inside = [rule for rule in rules if rule["section"] == section and rule["scope"] == "in"]
        if not inside:
            continue
        lines += ["", f"## {section}", "", "| id | level | behaviour | tests |",
                  "|---|---|---|---|"]
        for rule in inside:
            behaviour = cell(rule["behaviour"])
            if rule["why"]:
                behaviour += f" *({cell(rule['why'])})*"
            tests = "<br>".join(f"`{test}`" for test in proofs.get(rule["id"], [])) or "**none**"
            lines.append(f"| {rule['id']} | {rule['level']} | {behaviour} | {tests} |")
    lines += ["", "## Left out, and why", "", "| id | level | behaviour | reason |",
              "|---|---|---|---|"]
    for rule in rules:
        if rule["scope"] == "out":
            lines.append(f"| {rule['id']} | {rule['level']} | {cell(rule['behaviour'])} "
                         f"| {cell(rule['why'])} |")
    return "\n".join(lines) + "\n"


def read_standards():
    with STANDARDS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def rules_of(standard, rules):
    """The rules of a standard: each word of its `rules` is an id, or the beginning of some with "-" as its end."""
    words = standard["rules"].split()
    return [rule for rule in rules
            if any(rule["id"].startswith(word) if word.endswith("-") else rule["id"] == word for word in words)]


def table(rules, proofs):
    """The table of standards: lines of Markdown."""
    lines = ["| RFC | what | part | rules proven by a test | rules left out |", "|---|---|---|---|---|"]
    for standard in read_standards():
        mine = rules_of(standard, rules)
        proven = sum(rule["scope"] == "in" and rule["id"] in proofs for rule in mine)
        out = sum(rule["scope"] == "out" for rule in mine)
        lines.append(f"| {standard['rfc']} | {cell(standard['title'])} | {cell(standard['part'])} "
                     f"| {proven} of {len(mine) - out} | {out or '-'} |")
    return "\n".join(lines) + "\n"


def readme(rules, proofs):
    """README.md with its table of standards as it should be."""
    return TABLE.sub(lambda _: table(rules, proofs), README.read_text(encoding="utf-8"))


def malformed(rules):
    """Yield what is wrong with the list of rules itself."""
    seen = set()
    for rule in rules:
        if rule["id"] in seen:
            yield f"{RULES}: {rule['id']} stands there twice"
        seen.add(rule["id"])
        if rule["scope"] not in ("in", "out"):
            yield f"{RULES}: the scope of {rule['id']} is neither in nor out"
        if rule["scope"] == "out" and not rule["why"]:
            yield f"{RULES}: {rule['id']} is left out without a reason"
    for standard in read_standards():
        if not rules_of(standard, rules):
            yield f"{STANDARDS}: RFC {standard['rfc']} has no rules"


def check(rules, proofs):
    """Print what is wrong; return the exit code."""
    findings = list(malformed(rules))
    known = {rule["id"] for rule in rules}
    for rule in sorted(set(proofs) - known):
        findings.append(f"{', '.join(proofs[rule])}: there is no rule {rule}")
    missing = [rule["id"] for rule in rules if rule["scope"] == "in" and rule["level"] in BINDING
               and rule["id"] not in proofs]
    findings += [f"{rule} binds, but no test proves it" for rule in missing]
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page(rules, proofs):
        findings.append(f"{PAGE} is stale: run tools/rfc_report.py")
    text = README.read_text(encoding="utf-8")
    if not TABLE.search(text):
        findings.append(f"{README} has no table of standards")
    elif text != readme(rules, proofs):
        findings.append(f"{README} has a stale table of standards: run tools/rfc_report.py")
    print("\n".join(findings), end="\n" if findings else "")
    return 1 if findings else 0


def main():
    rules = read_rules()
    proofs = find_proofs()
    if "--check" in sys.argv:
        return check(rules, proofs)
    if "--missing" in sys.argv:
        for rule in rules:
            if rule["scope"] == "in" and rule["id"] not in proofs:
                print(f"{rule['id']:20} {rule['level']:10} {rule['behaviour']}")
        return 0
    PAGE.write_text(page(rules, proofs), encoding="utf-8")
    README.write_text(readme(rules, proofs), encoding="utf-8")
    print("\n".join(summary(rules, proofs)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
