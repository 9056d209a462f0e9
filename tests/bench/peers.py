#!/usr/bin/env python3
"""uHTTP among its peers: one table, and two plots.

    tests/bench/peers.py [--rounds N] [--seconds S] [--only WORKLOAD,...] [--servers NAME,...]
                         [--idle N,...] [--quick] [--install] [--write]
    tests/bench/peers.py --check

Each server runs on core 0, the client on core 1. A figure is the server's processor time, user and
system and of all its processes and threads, divided by what the client counted: microseconds a request,
or a handshake, or a MiB. Servers take turns within each round, and the table has the medians of all rounds,
with half the distance between the highest and the lowest behind "+-". A run with an error or with one answer
that is not 200 counts as none. Times compare only within one run, and mean something on a quiet machine.

What is not installed is left out and said; --install installs it (Debian). --quick: one round of a
second, a smoke test. --write puts the table into tests/bench/peers.md, some of its rows into the README, and
the plots into tests/bench/plots/; --check tells (as TAP) whether the README's rows are still those of
peers.md. The servers: PEERS below; their programs and settings are in tests/bench/peers/.
"""
import argparse
import os
import re
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE
while not (ROOT / "uhttp_server.h").exists():
    ROOT = ROOT.parent
PACKAGES = ("gcc wrk openssl util-linux libmbedtls-dev libmicrohttpd-dev libevent-dev libcivetweb-dev "
            "libwebsockets-dev lighttpd lighttpd-mod-openssl nginx-light h2o").split()
UPLOAD = 64 << 20


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Failed(Exception):
    pass


# ---- servers ---------------------------------------------------------------------------------------

class Server:
    """One that can be started. `command` gets a dict of port, tls_port, root, ... and yields argv."""

    def __init__(self, name, title, source=None, flags=(), libs=(), program=None, config=None, options=(),
                 lacks=()):
        self.name, self.title, self.source, self.flags, self.libs = name, title, source, flags, libs
        self.program, self.config, self.options, self.lacks = program, config, options, set(lacks)

    def prepare(self, tmp):
        """Builds or finds it; returns why it cannot be had, or None."""
        if self.source is None:
            self.path = shutil.which(self.program, path=os.environ["PATH"] + ":/usr/sbin")
            return None if self.path else f"{self.program} is not installed"
        self.path = str(tmp / self.name)
        done = subprocess.run([os.environ.get("CC", "cc"), "-O2", f"-I{ROOT}", f"-I{HERE / 'peers'}", *self.flags,
                               "-o", self.path, str(HERE / self.source), *self.libs], capture_output=True,
                              text=True)
        return None if done.returncode == 0 else f"{self.source} does not build: {done.stderr[:200]}"

    def start(self, tmp, connections, tls):
        self.port, self.tls_port = free_port(), free_port() if tls else 0
        values = dict(port=self.port, tls_port=self.tls_port, root=tmp / "root", chain=tmp / "chain.pem",
                      key=tmp / "key.pem", both=tmp / "both.pem", tmp=tmp, connections=connections)
        if self.config is not None:
            text = (HERE / "peers" / self.config).read_text()
            if not tls:
                text = re.sub(r"(?ms)^ *#tls\n.*?^ *#end\n", "", text)
            text = re.sub(r"@(\w+)@", lambda m: str(values[m.group(1)]), text)
            (tmp / self.config).write_text(text)
        argv = [self.path] + [o.format(config=tmp / (self.config or ""), **values) for o in self.options]
        self.log = open(tmp / f"{self.name}.log", "w")
        self.process = subprocess.Popen(["taskset", "-c", "0", *argv], stdout=self.log, stderr=self.log,
                                        start_new_session=True)
        for _ in range(200):
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.tls_port or self.port), 0.2).close()
                return
            except OSError:
                time.sleep(0.03)
        self.stop()
        raise Failed(f"{self.name} does not start: {(tmp / f'{self.name}.log').read_text()[:300]}")

    def processes(self):
        """All of the session the server leads: masters and workers."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                except OSError:
                    continue
                if int(fields[3]) == self.process.pid:
                    yield entry

    def cpu_us(self):
        total = 0
        for process in self.processes():
            for task in (process / "task").iterdir():
                total += int((task / "schedstat").read_text().split()[0])
        return total / 1e3

    def memory(self):
        """Proportional set size of all processes, in bytes: without what the kernel holds for a socket."""
        total = 0
        for process in self.processes():
            match = re.search(r"^Pss: +(\d+) kB", (process / "smaps_rollup").read_text(), re.M)
            total += int(match.group(1)) * 1024
        return total

    def stop(self):
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
                self.process.wait(3)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
        self.log.close()


OWN = ["{port}", "{tls_port}", "{root}", "{chain}", "{key}", "{connections}"]
TLS = ("-DUHTTP_TLS", )
MBEDTLS = ("-lmbedtls", "-lmbedx509", "-lmbedcrypto")
PEERS = [
    Server("epoll_loop", "bare epoll", "bare_epoll.c", lacks="files memory upload chunked tls state".split()),
    Server("select_loop", "bare select", "bare_select.c", lacks="files memory upload chunked tls many".split()),
    Server("uhttp", "uHTTP", "peers/uhttp.c", TLS, MBEDTLS, options=OWN),
    Server("uhttp_select", "uHTTP, select", "peers/uhttp.c", TLS + ("-DUHTTP_POLLER=UHTTP_POLLER_SELECT",),
           MBEDTLS, options=OWN, lacks=["many"]),
    Server("nginx", "nginx", program="nginx", config="nginx.conf", options=["-c", "{config}", "-p", "{tmp}"]),
    Server("h2o", "h2o", program="h2o", config="h2o.yaml", options=["-c", "{config}"],
           lacks=["upload", "chunked"]),
    Server("lighttpd", "lighttpd", program="lighttpd", config="lighttpd.conf", options=["-D", "-f", "{config}"],
           lacks=["upload", "chunked"]),
    Server("mhd", "libmicrohttpd", "peers/mhd.c", (), ["-lmicrohttpd"], options=OWN),
    Server("evhttp", "evhttp", "peers/evhttp.c", (), ["-levent"], options=OWN, lacks=["tls"]),
    Server("lws", "libwebsockets", "peers/lws.c", (), ["-lwebsockets"], options=OWN, lacks=["chunked"]),
    Server("civetweb", "civetweb", "peers/civetweb.c", (), ["-lcivetweb", "-pthread"], options=OWN,
           lacks=["many", "tls"]),      # Debian's dies of its first TLS connection here
]


# ---- clients ---------------------------------------------------------------------------------------

def client(*argv, **more):
    return subprocess.run(["taskset", "-c", "1", *map(str, argv)], capture_output=True, text=True, timeout=120,
                          **more)


def wrk(s, url, connections, request):
    """Answers counted, to the bytes of a request file."""
    done = client("wrk", "-t1", f"-c{connections}", f"-d{s.seconds}s", "-s", HERE / "wrk.lua", url, "--",
                  s.request(request))
    totals = re.search(r"^totals (.*)$", done.stdout, re.M)
    if totals is None:
        raise Failed(f"wrk: {done.stdout[-200:]}{done.stderr[-200:]}")
    numbers = [int(n) for n in re.findall(r"\d+", totals.group(1))]
    if numbers[0] == 0 or any(numbers[2:7]):
        raise Failed(f"wrk: {totals.group(1)}")
    return numbers[0]


def upload(s, server, chunked):
    """Sends a body of 64 MiB; the answer must be a 200. Counts MiB."""
    piece = b"u" * 65536
    if chunked:
        head, piece, tail = "Transfer-Encoding: chunked", b"10000\r\n" + piece + b"\r\n", b"0\r\n\r\n"
    else:
        head, tail = f"Content-Length: {UPLOAD}", b""
    block = piece * 16
    os.sched_setaffinity(0, {1})
    with socket.create_connection(("127.0.0.1", server.port), 20) as c:
        c.sendall(f"PUT /upload HTTP/1.1\r\nHost: localhost\r\n{head}\r\n\r\n".encode())
        for _ in range(UPLOAD // (65536 * 16)):
            c.sendall(block)
        c.sendall(tail)
        answer = c.recv(4096)
    if not re.match(rb"HTTP/1.1 20[014] ", answer):
        raise Failed(f"upload: {answer[:60]!r}")
    return UPLOAD >> 20


def handshakes(s, server, how):
    """Connections of TLS 1.2, which all of them speak, one after the other."""
    done = client("openssl", "s_time", "-connect", f"127.0.0.1:{server.tls_port}", how, "-time",
                  s.seconds, "-tls1_2", "-www", "/five.txt")
    match = re.search(r"^(\d+) connections in [\d.]+s; ", done.stdout, re.M)
    if match is None or int(match.group(1)) == 0:
        raise Failed(f"s_time: {done.stdout[-200:]}{done.stderr[-200:]}")
    return int(match.group(1)) + (1 if how == "-reuse" else 0)


def hold(s, server, count):
    """Opens idle connections, each answered once."""
    holders = []
    while count > 0:
        now = min(count, 500)
        count -= now
        holders.append(subprocess.Popen(["taskset", "-c", "1", s.client, str(server.port), s.request("hello"),
                                         str(now), "1", "hold"], stdout=subprocess.PIPE, text=True))
        if not holders[-1].stdout.readline().startswith("answer"):
            let_go(holders)
            raise Failed("idle connections were not all answered")
    return holders


def let_go(holders):
    for h in holders:
        h.kill()
        h.wait()
        h.stdout.close()


def latency(s, server):
    done = client(s.open_loop, server.port, 64, s.rate, s.seconds)
    if done.returncode != 0:
        raise Failed(done.stderr.strip())
    return [float(n) for n in re.findall(r"(?:p[\d.]+|max) ([\d.]+)", done.stdout)]


# ---- workloads -------------------------------------------------------------------------------------

class Workload:
    def __init__(self, name, title, count, needs=(), tls=False, connections=1000):
        self.name, self.title, self.count, self.needs = name, title, count, set(needs)
        self.tls, self.connections = tls, connections

    def measure(self, s, server):
        """Microseconds of the server's processor time for each thing counted."""
        before = server.cpu_us()
        counted = self.count(s, server)
        return (server.cpu_us() - before) / counted


class Idle(Workload):
    def __init__(self, idle):
        super().__init__(f"idle{idle}", f"8 beside {idle:,} idle".replace(",", " "), None,
                         () if idle < 900 else ("many",), connections=idle + 100)
        self.idle = idle

    def measure(self, s, server):
        holders = hold(s, server, self.idle)
        try:
            before = server.cpu_us()
            counted = wrk(s, f"http://127.0.0.1:{server.port}/", 8, "hello")
            return (server.cpu_us() - before) / counted
        finally:
            let_go(holders)


class Memory(Workload):
    """What a server for many holds more than the same server for few: slots taken in advance count, too."""
    few = 100

    def measure(self, s, server):
        holders = hold(s, server, s.held)
        try:
            time.sleep(2)
            many = server.memory()
        finally:
            let_go(holders)
        server.stop()
        s.start(server, self.few, False)
        holders = hold(s, server, self.few // 2)
        try:
            return (many - server.memory()) / (s.held - self.few // 2)
        finally:
            let_go(holders)


class Latency(Workload):
    def __init__(self, name, title, which):
        super().__init__(name, title, None)
        self.which = which

    def measure(self, s, server):
        return latency(s, server)[self.which]


def get(connections, request):
    return lambda s, server: wrk(s, f"http://127.0.0.1:{server.port}/", connections, request)


def secure(request):
    return lambda s, server: wrk(s, f"https://127.0.0.1:{server.tls_port}/", 64, request)


def workloads(idle):
    return [
        Workload("hello1", "1 connection, kept alive", get(1, "hello")),
        Workload("hello64", "64, kept alive", get(64, "hello")),
        Workload("hello256", "256, kept alive", get(256, "hello")),
        Workload("browser", "64, a browser's request", get(64, "browser")),
        Workload("close", "64, a connection per request", get(64, "close")),
        Workload("pipeline", "64, 16 requests deep", get(64, "pipeline")),
        Workload("memory1m", "1 MiB from memory", get(8, "memory"), ["memory"]),
        Workload("file10m", "10 MiB file", get(8, "ten.bin"), ["files"]),
        Workload("file5", "5-byte file", get(64, "five.txt"), ["files"]),
        Workload("upload", "64 MiB upload, per MiB", lambda s, v: upload(s, v, False), ["upload"]),
        Workload("chunked", "the same chunked, per MiB", lambda s, v: upload(s, v, True), ["chunked"]),
        Workload("https64", "64 over TLS, kept alive", secure("hello"), ["tls"], True),
        Workload("handshake", "TLS handshake", lambda s, v: handshakes(s, v, "-new"), ["tls"], True),
        Workload("resumed", "TLS handshake, resumed", lambda s, v: handshakes(s, v, "-reuse"), ["tls"], True),
        *[Idle(n) for n in idle],
        Latency("p50", "latency at {rate} a second, median", 0),
        Latency("p99", "latency at {rate} a second, 99 %", 2),
        Latency("p999", "latency at {rate} a second, 99.9 %", 3),
        Memory("bytes", "bytes an idle connection", None, ["many", "state"], connections=5100),
    ]


# ---- a run -----------------------------------------------------------------------------------------

class Session:
    def __init__(self, tmp, arguments):
        self.tmp, self.seconds, self.rate, self.held = tmp, arguments.seconds, arguments.rate, arguments.held
        self.samples, self.faults = {}, []
        self.client, self.open_loop = self.build("client.c"), self.build("open_loop.c")
        browser = (HERE / "browser.txt").read_text().replace("\n", "\r\n")
        plain = "GET / HTTP/1.1\r\nHost: 192.168.178.20\r\n"
        for name, text in {"hello": plain + "\r\n", "close": plain + "Connection: close\r\n\r\n",
                           "pipeline": (plain + "\r\n") * 16, "browser": browser}.items():
            (tmp / f"{name}.request").write_text(text)
        for name in ("memory", "ten.bin", "five.txt"):
            (tmp / f"{name}.request").write_text(plain.replace("/", "/" + name, 1) + "\r\n")
        (tmp / "root").mkdir()
        (tmp / "root" / "five.txt").write_text("12345")
        (tmp / "root" / "hello.txt").write_text("hello")
        (tmp / "root" / "memory").write_bytes(b"m" * (1 << 20))
        (tmp / "root" / "ten.bin").write_bytes(b"f" * (10 << 20))
        os.chmod(tmp, 0o755)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-days", "2", "-subj", "/CN=localhost", "-keyout", str(tmp / "key.pem"), "-out",
                        str(tmp / "chain.pem")], check=True, capture_output=True)
        (tmp / "both.pem").write_text((tmp / "key.pem").read_text() + (tmp / "chain.pem").read_text())

    def request(self, name):
        return str(self.tmp / f"{name}.request")

    def build(self, source):
        path = str(self.tmp / source[:-2])
        subprocess.run([os.environ.get("CC", "cc"), "-O2", "-o", path, str(HERE / source)], check=True)
        return path

    def one(self, workload, server):
        try:
            self.start(server, workload.connections, workload.tls)
            try:
                value = workload.measure(self, server)
            finally:
                server.stop()
        except (Failed, OSError, subprocess.TimeoutExpired) as fault:
            self.faults.append(f"{workload.name}, {server.name}: {fault}")
            return
        self.samples.setdefault((workload.name, server.name), []).append(value)

    def start(self, server, connections, tls):
        if server.source and server.source.startswith("bare"):
            self.start_bare(server, connections)
        else:
            server.start(self.tmp, connections, tls)

    def start_bare(self, server, connections):
        """The loops choose their port and print it."""
        server.log = open(self.tmp / f"{server.name}.log", "w")
        server.process = subprocess.Popen(["taskset", "-c", "0", server.path, str(connections)],
                                          stdout=subprocess.PIPE, stderr=server.log, text=True,
                                          start_new_session=True)
        words = server.process.stdout.readline().split()
        if words[:1] != ["port"]:
            raise Failed("the loop does not start")
        server.port = int(words[1])


def median(values):
    return statistics.median(values) if values else None


def figure(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(session, works, servers, rate):
    """Rows of Markdown: the median in each cell, the lowest of a row in bold, the bare loops apart."""
    lines = ["| CPU, \u00b5s | " + " | ".join(s.title for s in servers) + " |", "|---" * (len(servers) + 1) + "|"]
    for w in works:
        cells = []
        rivals = [median(session.samples.get((w.name, s.name))) for s in servers if "bare" not in s.title]
        best = min((v for v in rivals if v is not None), default=None)
        for s in servers:
            values = session.samples.get((w.name, s.name), [])
            if not values:
                cells.append("")
                continue
            text = figure(median(values))
            if len(values) > 1:
                text += f" +-{figure((max(values) - min(values)) / 2)}"
            cells.append(f"**{text}**" if median(values) == best and "bare" not in s.title else text)
        lines.append(f"| {w.title.format(rate=rate)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


# ---- plots: SVG that follows the reader's light or dark ---------------------------------------------

STYLE = """<style>
text{font:13px system-ui,sans-serif;fill:#1f2328}.axis{stroke:#8b949e;stroke-width:1}
.grid{stroke:#d0d7de;stroke-width:1}.bar{fill:#8b949e}.own{fill:#0969da;stroke:#0969da}
.line{fill:none;stroke:#8b949e;stroke-width:2}.line.own{fill:none;stroke:#0969da;stroke-width:3}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.grid{stroke:#30363d}.own{fill:#58a6ff;stroke:#58a6ff}
.line.own{stroke:#58a6ff}}
</style>"""


def svg(width, height, title, body):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
            f'aria-label="{title}">{STYLE}<text x="16" y="24" font-weight="600">{title}</text>'
            + "".join(body) + "</svg>\n")


def plot_bars(session, name, title, servers):
    rows = [(s.title, median(session.samples.get((name, s.name))), s.name == "uhttp") for s in servers]
    rows = sorted((r for r in rows if r[1] is not None), key=lambda r: r[1])
    if not rows:
        return None
    most, body = rows[-1][1], []
    for i, (label, value, own) in enumerate(rows):
        y, width = 44 + i * 26, 440 * value / most
        body.append(f'<text x="140" y="{y + 14}" text-anchor="end">{label}</text>'
                    f'<rect x="150" y="{y}" width="{width:.1f}" height="18" rx="2" class="{"own" if own else "bar"}"/>'
                    f'<text x="{156 + width:.1f}" y="{y + 14}">{figure(value)}</text>')
    return svg(680, 60 + 26 * len(rows), title, body)


def plot_idle(session, counts, servers):
    width, height, left, bottom = 680, 380, 60, 40
    lines = []
    for s in servers:
        points = [(n, median(session.samples.get((f"idle{n}", s.name)))) for n in counts]
        points = [p for p in points if p[1] is not None]
        if len(points) > 1:
            lines.append((s.title, points, s.name == "uhttp"))
    if not lines:
        return None
    top = max(v for _, points, _ in lines for _, v in points) * 1.1
    span = width - left - 150

    def place(i, value):
        return left + span * i / (len(counts) - 1), height - bottom - (height - bottom - 50) * value / top

    body = []
    for i in range(5):
        value = top * i / 4
        y = place(0, value)[1]
        body.append(f'<line x1="{left}" x2="{left + span}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
                    f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{figure(value) if i else 0}</text>')
    for i, n in enumerate(counts):
        body.append(f'<text x="{place(i, 0)[0]:.1f}" y="{height - 16}" text-anchor="middle">{n}</text>')
    ends = []
    for label, points, own in sorted(lines, key=lambda l: -l[1][-1][1]):
        at = [place(counts.index(n), v) for n, v in points]
        y = max(at[-1][1], ends[-1] + 16) if ends else at[-1][1]
        ends.append(y)
        body.append(f'<polyline class="line{" own" if own else ""}" points="'
                    + " ".join(f"{x:.1f},{z:.1f}" for x, z in at) + '"/>'
                    f'<text x="{at[-1][0] + 8:.1f}" y="{y + 4:.1f}">{label}</text>')
    return svg(width, height, "CPU for a request, us, beside so many idle connections", body)


# ---- what is written -------------------------------------------------------------------------------

PAGE, README, PLOTS = HERE / "peers.md", ROOT / "README.md", HERE / "plots"
BEGIN, END = "<!-- rows of tests/bench/peers.md: tests/bench/peers.py --write -->", "<!-- rows -->"
SHORT_ROWS = ["64, kept alive", "64, a browser's request", "64, a connection per request", "64, 16 requests deep",
              "10 MiB file", "5-byte file", "64 MiB upload, per MiB", "64 over TLS, kept alive",
              "TLS handshake", "latency at 10000 a second, 99 %",
              "bytes an idle connection"]


def versions():
    """The peers as Debian calls them."""
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}\n", "libmicrohttpd12", "h2o",
                           "libevent-2.1-7", "libcivetweb1", "libwebsockets17", "lighttpd", "nginx-light",
                           "libmbedtls14"], capture_output=True, text=True)
    return ", ".join(done.stdout.split("\n")[:-1])


def processor():
    match = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    return match.group(1) if match else "an unnamed processor"


def page(text, arguments):
    return f"""# uHTTP among its peers

Written by `tests/bench/peers.py --rounds {arguments.rounds} --seconds {arguments.seconds:g} --write`, on
{time.strftime("%Y-%m-%d")}, on two cores of {processor()}, Linux {os.uname().release.split("-")[0]}.
Debian's {versions()}.

Microseconds of processor time, user and system and of all its processes and threads, a request, a handshake or
a MiB: the median of all rounds, and half the distance between the highest and the lowest. The bare loops
parse nothing and send a canned answer. The lowest figure of a row is bold; latencies are microseconds, too.

What is behind some rows: a TLS handshake is what the library computes, and mbedTLS, which is written in C for
microcontrollers, needs four times as long for its curves as OpenSSL's assembler; h2o and lighttpd remember
a file for a while, uHTTP opens it anew each time and never sends an old one; nginx stores an upload in a file;
Debian's libwebsockets resets connections that say close, and takes no thousand of them here.

{text}
"""


def short_rows(markdown):
    """Of the page's table: some of the rows, without the second loop and poller, and without the spread."""
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in markdown.splitlines()
            if line.startswith("| ")]
    keep = [i for i, title in enumerate(rows[0]) if "select" not in title]
    idle = [row for row in rows if "beside" in row[0]]
    chosen_rows = rows[:1] + [row for row in rows if row[0] in SHORT_ROWS or row in idle[1:2] + idle[-1:]]
    lines = ["| " + " | ".join(re.sub(r" \+-[\d.]+", "", row[i]) for i in keep) + " |" for row in chosen_rows]
    return "\n".join(lines[:1] + ["| --- " + "| ---: " * (len(keep) - 1) + "|"] + lines[1:]) + "\n"


def readme_parts():
    text = README.read_text()
    before, rest = text.split(BEGIN + "\n")
    inside, after = rest.split(END + "\n")
    return before, inside, after


def write(text, plots, arguments):
    PAGE.write_text(page(text, arguments))
    before, _, after = readme_parts()
    README.write_text(before + BEGIN + "\n" + short_rows(PAGE.read_text()) + END + "\n" + after)
    PLOTS.mkdir(exist_ok=True)
    for name, plot in plots.items():
        if plot:
            (PLOTS / name).write_text(plot)


def check():
    same = readme_parts()[1] == short_rows(PAGE.read_text())
    print(f"{'ok' if same else 'not ok'} 1 - the README's rows are those of tests/bench/peers.md")
    print("1..1")
    return 0 if same else 1


# ---- main ------------------------------------------------------------------------------------------

def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=int, default=2)
    p.add_argument("--rate", type=int, default=10000, help="requests a second of the open loop")
    p.add_argument("--held", type=int, default=5000, help="connections whose memory is measured")
    p.add_argument("--only", default="")
    p.add_argument("--servers", default="")
    p.add_argument("--idle", default="0,900,5000,20000")
    p.add_argument("--quick", action="store_true")
    p.add_argument("--install", action="store_true")
    p.add_argument("--write", action="store_true")
    p.add_argument("--check", action="store_true")
    return p.parse_args()


def chosen(all_of_them, names, what):
    wanted = [n for n in names.split(",") if n]
    unknown = set(wanted) - {x.name for x in all_of_them}
    if unknown:
        sys.exit(f"peers: no {what} {', '.join(sorted(unknown))}; there are "
                 + " ".join(x.name for x in all_of_them))
    return [x for x in all_of_them if not wanted or x.name in wanted]


def raise_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def main():
    a = parse()
    if a.check:
        return check()
    if a.quick:
        a.rounds, a.seconds, a.held = 1, 1, 500
    if a.install:
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES], check=True)
    limit = raise_limit()
    idle = sorted({min(int(n), limit - 200) for n in a.idle.split(",")})
    works = chosen(workloads(idle), a.only, "workload")
    with tempfile.TemporaryDirectory() as folder:
        tmp = Path(folder)
        servers = []
        for server in chosen(PEERS, a.servers, "server"):
            why = server.prepare(tmp)
            if why is None:
                servers.append(server)
            else:
                print(f"left out: {server.title}: {why}")
        session = Session(tmp, a)
        order = list(servers)
        for number in range(a.rounds):
            for w in works:
                if sys.stderr.isatty():
                    print(f"\rround {number + 1} of {a.rounds}: {w.title:50.50}", end="", file=sys.stderr)
                for server in order:
                    if not w.needs & server.lacks:
                        session.one(w, server)
            order = order[1:] + order[:1]
        text = table(session, works, servers, a.rate)
    print(f"{a.rounds} rounds of {a.seconds:g} s; medians\n\n{text}\n")
    for fault in session.faults:
        print(f"no figure: {fault}")
    if a.write:
        write(text, {"browser.svg": plot_bars(session, "browser", "CPU for a browser's request, us", servers),
                     "idle.svg": plot_idle(session, idle, servers)}, a)
    own = [key for key in session.samples if key[1] == "uhttp"]
    return 0 if own and not any(", uhttp:" in f for f in session.faults) else 1


if __name__ == "__main__":
    sys.exit(main())
