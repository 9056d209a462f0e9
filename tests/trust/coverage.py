#!/usr/bin/env python3
"""Tells which lines and branches of the header the quick tests run, section by section.

    tests/trust/coverage.py [--jobs N] [--branches SECTION...] [--program NAME...]

Builds tests/text, tests/machine and tests/server with gcc --coverage (and test_tls, where mbedTLS
can be linked), runs each once, and adds up what gcov counted: a line or branch that one program
runs has been run. Each line that is not run must be in coverage_explained.txt with a reason; ten
may be left that only time or chance runs. Sections 05, 10 and 13 (text, which frames all messages,
bodies and the machine) must have 95 of 100 branches besides; those of assertions, which must never
fail, and of lines explained as "branch" do not count.

--branches 05 lists the branches of a section that were not taken. Prints TAP and a table; needs gcc,
gcov and cmocka. Computes for five minutes.
"""
import argparse
import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.abspath(os.path.join(HERE, "..", ".."))
HEADER = os.path.join(ROOT, "uhttp_server.h")
ROOMS = ["text", "machine", "server"]
EXPLAINED = os.path.join(HERE, "coverage_explained.txt")
STATIC_TLS = ["-Wl,--wrap=calloc", "-Wl,-Bstatic", "-lmbedtls", "-lmbedx509", "-lmbedcrypto",
              "-Wl,-Bdynamic"]
BY_CHANCE = 10
WHOLE = ["05", "10", "13"]      # 95 of 100 branches
FUNCTION = re.compile(r"^(?![#/ *}]|typedef|struct).*?\b(uh\w+)\(")


def environment():
    return dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP", DRIVER_SECONDS="3", MACHINE_RUNS="300")


def compiles(compiler, libraries):
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "probe.c")
        with open(source, "w", encoding="utf-8") as file:
            file.write("int main(void) { return 0; }\n")
        return subprocess.run([compiler, source, "-o", os.path.join(folder, "probe"), *libraries],
                              capture_output=True).returncode == 0


def programs(compiler, certificates):
    """name, source, flags, libraries"""
    for room in ROOMS:
        folder = os.path.join(ROOT, "tests", room)
        for file in sorted(os.listdir(folder)):
            name = re.match(r"test_(.*)\.c$", file)
            if name and name.group(1) != "tls":
                yield name.group(1), os.path.join(folder, file), [], []
    # once more with what this system would not choose
    for name, room, flag in [("server_requests", "server", "-DUHTTP_POLLER=UHTTP_POLLER_SELECT"),
                             ("server_descriptors", "server", "-DUHTTP_POLLER=UHTTP_POLLER_SELECT"),
                             ("own_loop", "server", "-DUHTTP_POLLER=UHTTP_POLLER_SELECT"),
                             ("own_loop", "server", "-DUHTTP_POLLER=UHTTP_POLLER_EPOLL"),
                             ("text_head", "text", "-U__SSE2__")]:
        yield (f"{name} {flag[2:]}", os.path.join(ROOT, "tests", room, f"test_{name}.c"), [flag], [])
    if not compiles(compiler, STATIC_TLS):
        print("# no static mbedTLS: TLS is left out")
    elif subprocess.run([os.path.join(ROOT, "tests", "server", "tls_certificates.sh"),
                         certificates], capture_output=True).returncode != 0:
        print("# openssl makes no certificates: TLS is left out")
    else:
        yield "tls", os.path.join(ROOT, "tests", "server", "test_tls.c"), [], STATIC_TLS


def measure(compiler, gcov, folder, program):
    """builds and runs one program; its complaint, and what gcov says of the header"""
    name, source, flags, libraries = program
    place = os.path.join(folder, name)
    os.mkdir(place)
    include = [f"-I{ROOT}"] + [f"-I{ROOT}/tests/{room}" for room in ROOMS + ["fuzz"]]
    built = subprocess.run([compiler, "-std=gnu11", "-w", "-O0", "--coverage", "-pthread", *include,
                            *flags, source, "-o", os.path.join(place, "program"), *libraries,
                            "-lcmocka", "-lm"], cwd=place, capture_output=True, text=True)
    if built.returncode != 0:
        return f"{name} does not build: {built.stderr[-400:]}", []
    try:
        run = subprocess.run([os.path.join(place, "program")], cwd=ROOT, env=environment(),
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, timeout=1500)
    except subprocess.TimeoutExpired:
        return f"{name} does not end", []
    notes = [file for file in os.listdir(place) if file.endswith(".gcda")]
    if not notes:
        return f"{name} ended with {run.returncode} and no counts", []
    if run.returncode != 0:         # under load a test of time may fail; what it ran, it ran
        print(f"# a test failed in {name}", flush=True)
    data = subprocess.run([gcov, "--json-format", "--stdout", "--branch-probabilities", notes[0]],
                          cwd=place, capture_output=True, text=True).stdout
    shutil.rmtree(place)
    lines = []
    for text in data.splitlines():
        for file in json.loads(text)["files"]:
            if os.path.realpath(os.path.join(place, file["file"])) == os.path.realpath(HEADER):
                lines += file["lines"]
    return None, [(line["line_number"], line["count"],
                   tuple(branch["count"] for branch in line["branches"])) for line in lines]


class Line:
    """what all programs together did in a line of the header"""

    def __init__(self):
        self.count = 0
        self.shapes = {}        # its branches: as many as the switches leave: count of each

    def add(self, count, branches):
        self.count += count
        sums = self.shapes.setdefault(len(branches), [0] * len(branches))
        for i, more in enumerate(branches):
            sums[i] += more

    def branches(self):
        """those of the build that has most: 1 taken, 0 not"""
        return [min(1, count) for count in self.shapes[max(self.shapes)]]


def describe(text):
    """of each line: section and function"""
    section, function, found = "", "", []
    for line in text:
        banner = re.match(r" \* (\d\d) [A-Z]", line)
        if banner:
            section = banner.group(1)
        begins = FUNCTION.match(line)
        if begins:
            function = begins.group(1)
        found.append((section, function))
    return found


def titles(text):
    found = {}
    for line in text:
        banner = re.match(r" \* (\d\d) ([A-Z]+(?: [A-Z]+)*)", line)
        if banner:
            found.setdefault(banner.group(1), banner.group(2))
    return found


def explained():
    """the lines that need not run, "function: text" each, those whose branches need not all be
    taken, with "branch " before that, and how many reasons the indented lines behind them give"""
    known, branches, reasons = set(), set(), 0
    with open(EXPLAINED, encoding="utf-8") as file:
        waiting = []
        for line in file.read().split("\n"):
            if line.startswith("    "):
                reasons += bool(waiting)
                waiting = []
            elif line and not line.startswith("#"):
                waiting.append(line)
                if line.startswith("branch "):
                    branches.add(line[len("branch "):])
                else:
                    known.add(line)
    if waiting:
        sys.exit(f"coverage_explained.txt gives no reason for {waiting}")
    return known, branches, reasons


def share(part, whole):
    return f"{part:5d} of {whole:5d} {100 * part / whole:6.1f} %" if whole else f"{'-':>23}"


def key_of(number, text, where):
    return f"{where[number][1]}: {text[number].strip()}"


class Tap:
    def __init__(self):
        self.number = self.failed = 0

    def ok(self, good, name):
        self.number += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.number} - {name}", flush=True)


def collect(wish, tap):
    """the lines of the header that are compiled, by number from 0"""
    lines = {}
    with tempfile.TemporaryDirectory() as folder:
        certificates = os.path.join(folder, "tls-certificates")
        os.environ["UHTTP_TLS_CERTIFICATES"] = certificates
        todo = [program for program in programs(wish.cc, certificates)
                if not wish.program or program[0] in wish.program]
        with concurrent.futures.ThreadPoolExecutor(wish.jobs) as pool:
            jobs = [pool.submit(measure, wish.cc, wish.gcov, folder, program)
                    for program in todo]
            for program, job in zip(todo, jobs):
                complaint, counts = job.result()
                if complaint:
                    tap.ok(False, complaint.replace("\n", "\n# "))
                for number, count, branches in counts:
                    lines.setdefault(number - 1, Line()).add(count, branches)
    return lines


def table(lines, text, where, without):
    """prints one row per section and the sum, and returns line and branch counts by section"""
    rows = {}
    for number, line in lines.items():
        row = rows.setdefault(where[number][0], [0, 0, 0, 0])
        row[0] += line.count > 0
        row[1] += 1
        if "UHTTP_ASSERT" not in text[number] and key_of(number, text, where) not in without:
            row[2] += sum(line.branches())
            row[3] += len(line.branches())
    names = titles(text)
    rows["all"] = [sum(row[i] for row in rows.values()) for i in range(4)]
    print(f"# {'section':20} {'lines':>23} {'branches':>23}")
    for section in sorted(names) + ["all"]:
        row = rows.get(section, [0, 0, 0, 0])
        print(f"# {section + ' ' + names.get(section, '').lower():20} {share(row[0], row[1])} "
              f"{share(row[2], row[3])}")
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--branches", nargs="*", default=[], metavar="SECTION")
    parser.add_argument("--program", nargs="*", help="only these, as in body server_files")
    parser.add_argument("--cc", default="gcc")
    parser.add_argument("--gcov", default="gcov")
    wish = parser.parse_args()
    for tool in [wish.cc, wish.gcov]:
        if not shutil.which(tool):
            print(f"1..0 # SKIP there is no {tool}")
            return 0
    with open(HEADER, encoding="utf-8") as file:
        text = file.read().split("\n")
    where = describe(text)
    tap = Tap()
    lines = collect(wish, tap)
    known, without, reasons = explained()
    rows = table(lines, text, where, without)
    missed, partly = {}, set()
    for number, line in sorted(lines.items()):
        key = key_of(number, text, where)
        if line.count == 0:
            missed.setdefault(key, number)
        elif 0 in line.branches():
            partly.add(key)
            if where[number][0] in wish.branches and "UHTTP_ASSERT" not in text[number]:
                taken = "".join("01"[count] for count in line.branches())
                print(f"# line {number + 1}, branches taken {taken}: {key}")
    for section in WHOLE:
        _, _, taken, branches = rows.get(section, [0, 1, 0, 1])
        tap.ok(taken * 100 >= branches * 95,
               f"section {section}: 95 of 100 branches ({taken} of {branches})")
    open_lines = [key for key in missed if key not in known]
    for key in open_lines:
        print(f"# not run: line {missed[key] + 1}, {key}")
    tap.ok(len(open_lines) <= BY_CHANCE, f"lines that no test runs are explained, but for at most "
           f"{BY_CHANCE} that chance runs ({len(open_lines)} are not)")
    there = {key_of(number, text, where) for number in range(len(text))}
    gone = sorted((known | without) - there)
    for key in gone:
        print(f"# explained, but gone: {key}")
    tap.ok(not gone, "what is explained is there")
    compiled = {key_of(number, text, where) for number in lines}
    for key in sorted((known - set(missed) | without - partly) & compiled):
        print(f"# explained, but run: {key}")
    run, count, taken, branches = rows["all"]
    print(f"1..{tap.number}\n# coverage: {run} of {count} lines, {taken} of {branches} branches; "
          f"{count - run} lines are not run, for {reasons} reasons")
    return 1 if tap.failed else 0


if __name__ == "__main__":
    sys.exit(main())
