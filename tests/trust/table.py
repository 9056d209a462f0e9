#!/usr/bin/env python3
"""One table of what was tried against the server and what came of it, from what the runs printed.

    tests/trust/table.py [--write] [FILE...]     prints it; --write: into .github/SECURITY.md
    tests/trust/table.py --check                 is the table there whole? Prints TAP

Reads build/logs and build/fuzz.*.tap, as tests/run.sh --full leaves them, then each FILE, which is
what a command of the table printed when it was run by hand and to its end:

    tests/trust/faults.sh >faults.txt; tests/trust/table.py --write faults.txt

A later figure replaces an earlier one. What no run has told stays as it is in SECURITY.md; a row
that has never been counted is left out.
"""
import argparse
import glob
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.abspath(os.path.join(HERE, "..", ".."))
PAGE = os.path.join(ROOT, ".github", "SECURITY.md")
BEGIN, END = "<!-- what was counted: tests/trust/table.py --write -->", "<!-- counted -->"


def grouped(digits):
    return f"{int(digits):,}"


def last(pattern, text):
    found = list(re.finditer(pattern, text, re.MULTILINE))
    return found[-1] if found else None


def faults(text):
    found = last(r"^# faults: (\d+) injected at (\d+) of (\d+) calls", text)
    return found and (f"{grouped(found[1])} injected, at {found[2]} of the {found[3]} calls that "
                      "can fail")


def proofs(text):
    found = last(r"^# proofs: (\d+) of (\d+) claims, (\d+) checks", text)
    bounds = [int(n) for n in re.findall(r"^ok - \w+: \d+ checks, loops up to (\d+)", text, re.M)]
    return found and bounds and (f"{found[1]} of {found[2]} claims proven ({grouped(found[3])} "
                                 f"checks), loops up to {min(bounds)} to {max(bounds)} rounds")


def fuzzing(text):
    runs = dict(re.findall(r"^ok - fuzzer (\w+): nothing found in (\d+) runs", text, re.M))
    bad = len(re.findall(r"^not ok - fuzzer", text, re.M))
    return runs and (f"{grouped(sum(map(int, runs.values())))} inputs by {len(runs)} fuzzers, "
                     f"{bad or 'nothing'} found")


def mutation(text):
    found = last(r"^# mutation: (\d+) of (\d+) noticed, of (\d+) that can be made", text)
    return found and (f"{found[1]} of {found[2]} faults noticed, of {grouped(found[3])} that can be "
                      "made")


def coverage(text):
    found = last(r"^# coverage: (\d+) of (\d+) lines, (\d+) of (\d+) branches", text)
    if not found:
        return None
    run, lines, taken, branches = map(int, found.groups())
    return (f"{run:,} of {lines:,} lines ({100 * run / lines:.1f} %), {taken:,} of {branches:,} "
            f"branches ({100 * taken / branches:.1f} %)")


def sanitizers(_):
    parts = []
    for stage, name in [("asan", "address and undefined behaviour"), ("clang", "undefined, clang"),
                        ("tsan", "threads"), ("msan", "memory"), ("valgrind", "memcheck")]:
        count = 0
        for file in glob.glob(os.path.join(ROOT, "build", "logs", f"{stage}-*.tap")):
            count += sum(line.startswith("ok ") and "SKIP" not in line for line in read(file))
        if count:
            parts.append(f"{count:,} ({name})")
    return parts and "tests passed: " + ", ".join(parts)


def hostile(text):
    found = last(r"^# hostile: (\d+) scenarios, .* the server computed at most ([\d.]+) ms", text)
    return found and (f"{found[1]} kinds, no request of the good client lost; before an answer to "
                      f"it the server computed at most {found[2]} ms (p99)")


def soak(text):
    found = last(r"^# soak: (\d+) connections, (\d+) requests, (\d+) hours of load, (\d+) wraps", text)
    return found and (f"{grouped(found[1])} connections and {grouped(found[2])} requests in {found[3]} "
                      f"hours of a clock that wrapped {found[4]} times; nothing grew")


ROWS = [("failed system calls and allocations", faults, "tests/trust/faults.sh"),
        ("proofs", proofs, "tests/trust/proofs.sh"),
        ("fuzzed inputs", fuzzing, "tests/run.sh fuzz"),
        ("planted faults", mutation, "tests/trust/mutation.py"),
        ("coverage by the quick tests", coverage, "tests/trust/coverage.py"),
        ("sanitizers", sanitizers, "tests/run.sh asan clang tsan msan valgrind"),
        ("hostile clients", hostile, "tests/trust/long_hostile.sh"),
        ("long load", soak, "tests/trust/long_soak.sh")]


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.readlines()


def standing(page):
    """the figures that are in the page"""
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        sys.exit(f"{PAGE} has not the lines {BEGIN} and {END}, once each")
    table = page[page.index(BEGIN):page.index(END)]
    return dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \| `[^`]+` \|$", table, re.M))


def compose(figures):
    lines = ["| what | counted last | command |", "| --- | --- | --- |"]
    for what, _, command in ROWS:
        figure = figures.get(what)
        if figure:
            lines.append(f"| {what} | {figure} | `{command}` |")
    return "\n".join(lines) + "\n"


def check(page):
    """is the table as this would write it, and does what it names exist?"""
    before = standing(page)
    table = page[page.index(BEGIN) + len(BEGIN):page.index(END)].strip()
    whole = len(before) > 0 and table == compose(before).strip()
    lost = [row[2] for row in ROWS if row[0] in before
            and not os.access(os.path.join(ROOT, row[2].split()[0]), os.X_OK)]
    print("ok" if whole else "not ok",
          "1 - SECURITY.md has the table as tests/trust/table.py writes it")
    print("not ok" if lost else "ok", f"2 - the commands of the table exist{''.join(lost)}")
    print("1..2")
    return 0 if whole and not lost else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("file", nargs="*")
    wish = parser.parse_args()
    page = "".join(read(PAGE))
    if wish.check:
        return check(page)
    build = os.path.join(ROOT, "build")
    files = sorted(glob.glob(os.path.join(build, "logs", "long-*.tap")) +
                   glob.glob(os.path.join(build, "fuzz.*.tap"))) + wish.file
    text = "".join("".join(read(file)) for file in files)
    figures = standing(page)
    for what, count, _ in ROWS:
        figures[what] = count(text) or figures.get(what)
    table = compose(figures)
    print(table, end="")
    if wish.write:
        page = page[:page.index(BEGIN) + len(BEGIN)] + "\n" + table + page[page.index(END):]
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
