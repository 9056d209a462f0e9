#!/usr/bin/env python3
"""Makes small faults in the header, one at a time, and tells which of them the tests notice.

    tests/trust/mutation.py [--count N] [--seed S] [--least N] [--section TAG...]
                            [--only FUNCTION] [--thorough]

A fault turns a comparison, moves a constant by one, drops a condition, swaps && and ||, or leaves
a call out, in a line that is compiled here. N of them (60) are chosen by seed, from sections 03 to
14 in turn (or from those given: 05 12): an edit of the header changes the choice only where lines
are edited. For each, test programs are built and run until one fails, those of the section first.
Where there is tcc, it builds them, in a quarter of a second. A program must first pass without
a fault. The slow ones are only run for the sections they are about, and ended after 40 seconds;
with --thorough all are, to their end.

mutation_explained.txt names faults that change nothing anybody could observe; they are never
chosen. Every other survivor is a missing test. Prints TAP; the status is 0 if N faults, or 95 of
100, were noticed. Needs cc or tcc and cmocka. A fault takes some 5 s, a survivor a minute.
"""
import argparse
import hashlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.abspath(os.path.join(HERE, "..", ".."))
ROOMS = ["text", "machine", "server", "fuzz"]
EXPLAINED = os.path.join(HERE, "mutation_explained.txt")
BRIEF = 40          # seconds after which a long program is ended
SLOW = 5            # how many times slower a program may become before it hangs

# the quick test programs, the quickest first; the long ones; and which are run first and last
# for a section. What is named nowhere counts as quick.
ORDER = """
    text_request body text_files server_fields request_extras text_websocket text_head
    text_chunked streams json_response server_helpers text_words port driver server_wake
    server_websocket server_streams text_form server_files server_pollers server_descriptors
    files server_uploads text_json server_arguments server_requests
""".split()
LONG = ("machine machine_no_heap arguments websocket server server_fd_set server_limits own_loop"
        .split())
FIRST = {"03": "server_files server_pollers server_descriptors server_helpers files",
         "04": "body streams driver text_json", "06": "body driver server_streams",
         "07": "body driver", "08": "streams body server_fields driver",
         "09": "request_extras server_fields body driver", "10": "body server_uploads driver",
         "11": "files server_files text_files", "12": "text_websocket websocket",
         "13": "body driver streams", "14": "body driver server_pollers",
         "05": "text_request text_files text_websocket text_head text_chunked text_words text_form"
               " text_json"}
LAST = {"03": "own_loop", "04": "", "05": "", "06": "machine", "07": "machine websocket",
        "08": "machine", "09": "machine arguments", "10": "machine", "11": "machine",
        "12": "machine", "13": "machine", "14": "machine server_limits server own_loop"}

# what is found in a line, and what stands there instead
FAULTS = [(r" < (?!<)", " <= "), (r" <= ", " < "), (r" > (?!>)", " >= "), (r" >= ", " > "),
          (r" == ", " != "), (r" != ", " == "), (r" && ", " || "), (r" \|\| ", " && "),
          (r" \+ 1\b", " + 2"), (r" - 1\b", " - 0"), (r"\btrue\b", "false"),
          (r"\bfalse\b", "true"), (r"(?<![\w.])2(?=[;,)])", "3"), (r"if \((?!!)", "if (1 || "),
          (r"if \((?!!)", "if (0 && "), (r"if \(!", "if (")]
CALL = re.compile(r"^( +)(uh_\w+\([^;{}]*\));$")
FUNCTION = re.compile(r"^(?![#/ *}]|typedef|struct).*?\b(uh\w+)\(")


class Fault:
    def __init__(self, section, function, number, text):
        self.section = section
        self.number = number
        self.text = text
        self.key = f"{function}: {text.strip()}"

    def rank(self, seed):
        return hashlib.sha256(f"{seed} {self.key}".encode()).digest()


def compiled_lines(compilers, folder):
    """the numbers of the header's lines that are compiled on this system"""
    source = os.path.join(folder, "seen.c")
    header = os.path.join(ROOT, "uhttp_server.h")
    with open(source, "w", encoding="utf-8") as file:
        file.write(f'#define UHTTP_IMPLEMENTATION\n#include "{header}"\n')
    text = subprocess.run([compilers[0], "-E", source], check=True, capture_output=True,
                          text=True).stdout
    seen, name, number = set(), "", 0
    for line in text.split("\n"):
        marker = re.match(r'#(?:line)? (\d+) "(.*?)"', line)
        if marker:
            number, name = int(marker.group(1)) - 1, marker.group(2)
            continue
        if name == header and line.strip():
            seen.add(number)
        number += 1
    return seen


def all_faults(lines, seen):
    """each fault that can be made"""
    section, function, comment, found = "", "", False, []
    for number, line in enumerate(lines):
        banner = re.match(r" \* (\d\d) [A-Z]", line)
        if banner:
            section = banner.group(1)
        begins = FUNCTION.match(line)
        if begins:
            function = begins.group(1)
        comment = (comment or line.lstrip().startswith("/*")) and "*/" not in line
        if function.startswith("uh_tls_"):      # without TLS nobody calls these
            continue
        if section not in FIRST or number not in seen or comment or "/*" in line:
            continue
        if not line.startswith("    ") or "UHTTP_ASSERT" in line or line.rstrip().endswith("\\"):
            continue
        texts = [line[:hit.start()] + instead + line[hit.end():]
                 for what, instead in FAULTS for hit in re.finditer(what, line)]
        if CALL.match(line):
            texts.append(CALL.sub(r"\1(void)0;", line).replace("0;", f"0; /* {line.strip()} */"))
        found += [Fault(section, function, number, text) for text in texts]
    return found


def explained():
    """the faults that change nothing: a line each, followed by indented lines that say why"""
    with open(EXPLAINED, encoding="utf-8") as file:
        return {line.rstrip() for line in file if re.match(r"\w", line)}


def chosen(faults, seed):
    """all of them by chance, the sections in turn"""
    rows = {}
    for fault in sorted(faults, key=lambda fault: fault.rank(seed)):
        rows.setdefault(fault.section, []).append(fault)
    for row in range(max((len(row) for row in rows.values()), default=0)):
        for section in sorted(rows):
            if row < len(rows[section]):
                yield rows[section][row]


class Bench:
    """a copy of the tests beside a header with a fault"""

    def __init__(self, folder, compilers, thorough):
        self.folder = folder
        self.compilers = compilers
        self.thorough = thorough
        self.whole = {}         # program: (compiler, seconds or None) without a fault
        self.sources = {}
        for room in ROOMS:
            shutil.copytree(os.path.join(ROOT, "tests", room),
                            os.path.join(folder, "tests", room))
        for name in ["examples", "README.md", "LICENSE"]:       # some tests serve them
            os.symlink(os.path.join(ROOT, name), os.path.join(folder, name))
        for room in ROOMS:
            for name in sorted(os.listdir(os.path.join(folder, "tests", room))):
                part = re.match(r"test_(.*)\.c$", name)
                if part and part.group(1) != "tls":
                    self.sources[part.group(1)] = os.path.join(folder, "tests", room, name)
        # glibc hides from tcc that the kernel packs the events of epoll
        os.mkdir(os.path.join(folder, "sys"))
        with open(os.path.join(folder, "sys", "epoll.h"), "w", encoding="utf-8") as file:
            file.write("#pragma pack(push, 4)\n#include_next <sys/epoll.h>\n#pragma pack(pop)\n")

    def write_header(self, lines):
        with open(os.path.join(self.folder, "uhttp_server.h"), "w", encoding="utf-8") as file:
            file.write("\n".join(lines))

    def build(self, compiler, name):
        include = [f"-I{self.folder}"] + [f"-I{self.folder}/tests/{room}" for room in ROOMS]
        return subprocess.run([compiler, "-std=gnu11", "-w", "-pthread", *include,
                               self.sources[name], "-o", os.path.join(self.folder, "program"),
                               "-lcmocka", "-lm", "-lpthread"],
                              capture_output=True).returncode == 0

    def run(self, seconds):
        """"passed", "failed" or "late", and how many tests of it had passed"""
        def limits():
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
            resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 30, 8 << 30))
        environment = dict(os.environ, CMOCKA_MESSAGE_OUTPUT="TAP", DRIVER_SECONDS="1",
                           MACHINE_RUNS="100", MACHINE_STEP="50")
        program = subprocess.Popen([os.path.join(self.folder, "program")], cwd=self.folder,
                                   env=environment, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                   start_new_session=True, preexec_fn=limits)
        late = threading.Event()

        def end():
            late.set()
            os.killpg(program.pid, signal.SIGKILL)
        timer = threading.Timer(seconds, end)
        timer.start()
        passed, failed, rest = 0, False, 1 << 24        # what it may print
        try:
            for line in program.stdout:
                rest -= len(line)
                passed += line.startswith(b"ok ")
                failed = line.startswith(b"not ok") and b"# SKIP" not in line
                if failed or rest < 0:
                    os.killpg(program.pid, signal.SIGKILL)
                    break
            status = program.wait()
        finally:
            timer.cancel()
            try:
                os.killpg(program.pid, signal.SIGKILL)      # itself or its children
            except ProcessLookupError:
                pass
            program.stdout.close()
        if late.is_set():
            return "late", passed
        return "passed" if status == 0 and not failed and passed > 0 else "failed", passed

    def try_whole(self, name, lines):
        """how the program does without a fault; kept for next time"""
        if name not in self.whole:
            self.write_header(lines)
            self.whole[name] = None
            for compiler in self.compilers:
                if not self.build(compiler, name):
                    continue
                start = time.monotonic()
                end, passed = self.run(300 if self.thorough else BRIEF)
                if end == "passed":
                    self.whole[name] = (compiler, time.monotonic() - start)
                elif end == "late" and passed > 0 and not self.thorough:
                    self.whole[name] = (compiler, None)
                if self.whole[name]:
                    break
            else:
                print(f"# left out, as it does not pass without a fault: test_{name}",
                      flush=True)
        return self.whole[name]

    def order(self, section):
        rest = [name for name in sorted(self.sources) if name not in ORDER + LONG]
        names = (FIRST[section].split() + ORDER + rest + LAST[section].split() +
                 (LONG if self.thorough else []))
        return [name for name in dict.fromkeys(names) if name in self.sources]

    def judge(self, fault, lines):
        """the program that noticed it, "compiler", or None"""
        faulty = lines[:fault.number] + [fault.text] + lines[fault.number + 1:]
        for name in self.order(fault.section):
            whole = self.try_whole(name, lines)
            if whole is None:
                continue
            compiler, seconds = whole
            self.write_header(faulty)
            if not self.build(compiler, name):
                return "compiler"
            end, passed = self.run(BRIEF if seconds is None else SLOW * seconds + 10)
            if end == "failed" or end == "late" and (seconds is not None or passed == 0):
                return name + (" in time" if end == "late" else "")
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--least", type=int, help="so many must be noticed; 95 of 100")
    parser.add_argument("--section", nargs="*", default=sorted(FIRST))
    parser.add_argument("--only", help="faults in this function")
    parser.add_argument("--thorough", action="store_true", help="let long programs end")
    wish = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))     # nothing is left behind
    compilers = [name for name in ["tcc", os.environ.get("CC", "cc")] if shutil.which(name)]
    with open(os.path.join(ROOT, "uhttp_server.h"), encoding="utf-8") as file:
        lines = file.read().split("\n")
    start, noticed, survived = time.monotonic(), 0, 0
    known = explained()
    with tempfile.TemporaryDirectory() as folder:
        faults = all_faults(lines, compiled_lines(compilers, folder))
        stale = known - {fault.key for fault in faults}
        for key in sorted(stale):
            print(f"not ok - explained, but can no longer be made: {key}")
        faults = [fault for fault in faults if fault.key not in known
                  and fault.section in wish.section
                  and (wish.only is None or fault.key.startswith(wish.only + ":"))]
        bench = Bench(folder, compilers, wish.thorough)
        for fault in chosen(faults, wish.seed):
            if noticed + survived == wish.count:
                break
            began = time.monotonic()
            by = bench.judge(fault, lines)
            if by == "compiler":
                continue
            noticed += by is not None
            survived += by is None
            print(f"# {f'noticed by {by}' if by else 'SURVIVED'} ({time.monotonic() - began:.0f} s)"
                  f": section {fault.section}, line {fault.number + 1}, {fault.key}", flush=True)
    count = noticed + survived
    least = wish.least if wish.least is not None else (count * 95 + 99) // 100
    good = noticed >= least and count > 0
    print(f"{'ok' if good else 'not ok'} - at least {least} of {count} faults are noticed\n"
          f"1..{1 + len(stale)}\n# mutation: {noticed} of {count} noticed, of {len(faults)} that can"
          f" be made ({len(known)} explained); seed {wish.seed}, {time.monotonic() - start:.0f} s")
    return 0 if good and not stale else 1


if __name__ == "__main__":
    sys.exit(main())
