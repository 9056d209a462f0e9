#!/usr/bin/env python3
"""Makes small faults in the header, one at a time, and tells which of them the unit tests notice.

    tests/trust/mutation.py [--count N] [--seed S] [--section TAG...]

A fault turns a comparison, moves a constant by one, drops a condition, swaps && and ||, or leaves
a call out. They are chosen by seed over sections 04 to 14 (or those given: 05 12). For each, the
unit tests that use the section are built and run until one fails. Prints TAP: "ok" was noticed,
"not ok" with its line survived, which is a missing test or a fault that changes nothing; the
status is 0 if at least 95 of 100 were noticed. Needs cc and cmocka; a fault takes 10 to 60 s.
"""
import argparse
import os
import random
import re
import subprocess
import sys
import tempfile

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
ROOMS = ["text", "machine", "server"]
TEXT = ["text/test_text_head", "text/test_text_chunked", "text/test_text_words",
        "text/test_text_request", "text/test_text_form", "text/test_text_files",
        "text/test_text_json", "text/test_text_websocket"]
MACHINE = ["machine/test_body", "machine/test_streams", "machine/test_machine",
           "machine/test_driver"]
SERVER = ["server/test_server_requests", "server/test_server", "server/test_server_limits"]
TESTS = {"04": MACHINE, "05": TEXT + MACHINE[:2], "07": MACHINE + SERVER, "08": MACHINE + SERVER,
         "09": MACHINE + SERVER, "10": MACHINE, "11": ["machine/test_files",
         "server/test_server_files"], "12": ["machine/test_websocket"],
         "13": MACHINE, "14": SERVER + MACHINE}

# what is found in a line, and what stands there instead
FAULTS = [(r" < (?!<)", " <= "), (r" <= ", " < "), (r" > (?!>)", " >= "), (r" >= ", " > "),
          (r" == ", " != "), (r" != ", " == "), (r" && ", " || "), (r" \|\| ", " && "),
          (r" \+ 1\b", " + 2"), (r" - 1\b", " - 0"), (r"\btrue\b", "false"),
          (r"\bfalse\b", "true"), (r"(?<![\w.])2(?=[;,)])", "3"), (r"if \((?!!)", "if (1 || "),
          (r"if \((?!!)", "if (0 && ")]
CALL = re.compile(r"^( +)(uh_\w+\([^;{}]*\));$")


def places(lines, sections):
    """(number, section, new line) of each fault that can be made"""
    section, comment, found = "", False, []
    for number, line in enumerate(lines):
        banner = re.match(r" \* (\d\d) [A-Z]", line)
        if banner:
            section = banner.group(1)
        comment = (comment or line.lstrip().startswith("/*")) and "*/" not in line
        if section not in sections or comment or not line.startswith("    ") or "/*" in line:
            continue
        if "UHTTP_ASSERT" in line or line.rstrip().endswith("\\"):
            continue
        for what, instead in FAULTS:
            for hit in re.finditer(what, line):
                found.append((number, section, line[:hit.start()] + instead + line[hit.end():]))
        if CALL.match(line):
            found.append((number, section, CALL.sub(r"\1(void)0;", line)))
    return found


def noticed(folder, tests):
    """the test that failed, "compiler", or None"""
    include = [f"-I{folder}", *[f"-I{folder}/tests/{room}" for room in ROOMS]]
    for test in tests:
        program = os.path.join(folder, "program")
        source = os.path.join(folder, "tests", test + ".c")
        built = subprocess.run(["cc", "-O0", "-std=gnu11", "-w", "-pthread", *include, source,
                                "-o", program, "-lcmocka", "-lm"], capture_output=True)
        if built.returncode != 0:
            return "compiler"
        try:
            ran = subprocess.run([program], capture_output=True, timeout=240, cwd=folder,
                                 env=dict(os.environ, MACHINE_RUNS="3000"))
        except subprocess.TimeoutExpired:
            return test
        if ran.returncode != 0:
            return test
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--section", nargs="*", default=sorted(TESTS))
    wish = parser.parse_args()
    with open(os.path.join(ROOT, "uhttp_server.h"), encoding="utf-8") as file:
        lines = file.read().split("\n")
    chance = random.Random(wish.seed)
    by_section = {tag: [p for p in places(lines, [tag])] for tag in wish.section if tag in TESTS}
    tags = [tag for tag in by_section if by_section[tag]]
    killed = survived = 0
    with tempfile.TemporaryDirectory() as folder:
        os.symlink(os.path.join(ROOT, "examples"), os.path.join(folder, "examples"))
        subprocess.run(["cp", "-r", os.path.join(ROOT, "tests"), folder], check=True)
        while killed + survived < wish.count:
            tag = chance.choice(tags)
            number, _, instead = chance.choice(by_section[tag])
            with open(os.path.join(folder, "uhttp_server.h"), "w", encoding="utf-8") as file:
                file.write("\n".join(lines[:number] + [instead] + lines[number + 1:]))
            by = noticed(folder, TESTS[tag])
            if by == "compiler":
                continue
            killed += by is not None
            survived += by is None
            print(f"{'ok' if by else 'not ok'} - line {number + 1}: {instead.strip()}"
                  f" ({by or 'survived'})", flush=True)
    print(f"1..{killed + survived}\n# mutation: {killed} of {killed + survived} noticed"
          f" (seed {wish.seed})")
    return 0 if killed >= 0.95 * (killed + survived) else 1


if __name__ == "__main__":
    sys.exit(main())
