#!/usr/bin/env python3
"""check.py - asks the site of examples/firmware everything a client may; prints TAP.

    check.py HOST PORT [--slots N] [--bytes N] [--image FILE] [--tls FILE] [--limit S]
             [--tries N] [--crowd N] [--apart S] [--requests N] [--soak S]

--slots   connections the server has (4)
--bytes   of the large transfers (1 MiB)
--image   what GET /firmware must give
--tls     HTTPS; the certificate that must be shown
--limit   seconds a socket may be silent (30)
--tries   how often a check may begin again (1); more where packets are lost
--requests  on kept connections, one after the other (200)
--crowd   how many clients come at once (20)
--apart   seconds between two of them: the queue of QEMU's port forwarding holds one (0)
--soak    seconds of all of it at once by more clients than slots, some of which break off (0)
"""
import argparse
import json
import random
import socket
import ssl
import struct
import threading
import time
import zlib

options = argparse.ArgumentParser()
options.add_argument("host")
options.add_argument("port", type=int)
options.add_argument("--slots", type=int, default=4)
options.add_argument("--bytes", type=int, default=1 << 20)
options.add_argument("--image")
options.add_argument("--tls")
options.add_argument("--limit", type=float, default=30)
options.add_argument("--tries", type=int, default=1)
options.add_argument("--requests", type=int, default=200)
options.add_argument("--crowd", type=int, default=20)
options.add_argument("--apart", type=float, default=0)
options.add_argument("--soak", type=float, default=0)
options = options.parse_args()

random.seed(7)
DATA = random.randbytes(options.bytes)
SUM = "%08x" % zlib.crc32(DATA)
context = None
if options.tls:
    context = ssl.create_default_context(cafile=options.tls)

number = failures = 0


def wait_until_free():
    """What a check that failed has begun ends by itself, after the server's time limits."""
    deadline = time.time() + 2 * options.limit
    while time.time() < deadline:
        try:
            if status()["held"] == 1:
                return
        except Exception:
            pass
        time.sleep(0.3)


def check(name):
    """Runs the function below, which returns True or what it found instead."""
    def run(function):
        global number, failures
        start = time.time()
        for _ in range(options.tries):
            try:
                found = function()
            except Exception as error:              # whatever it is, the next check goes on
                found = repr(error)
            if found is True:
                break
            print("# %s: %s" % (name, found), flush=True)
            wait_until_free()
        number += 1
        if found is not True:
            failures += 1
            print("not ok %d - %s\n# found: %s" % (number, name, found), flush=True)
        else:
            print("ok %d - %s # %.2f s" % (number, name, time.time() - start), flush=True)
        return function
    return run


def connect():
    plain = socket.create_connection((options.host, options.port), timeout=options.limit)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(plain, server_hostname="127.0.0.1") if context else plain


class Response:
    def __init__(self, file, head=False):
        line = file.readline()
        if not line:
            raise EOFError("closed before a response")
        self.status = int(line.split()[1])
        self.fields = {}
        while True:
            line = file.readline()
            if line == b"":
                raise EOFError("closed within a head")
            if line == b"\r\n":
                break
            name, value = line.split(b":", 1)
            self.fields[name.decode().lower()] = value.strip().decode()
        if self.status == 100:
            self.__init__(file, head)
            return
        self.body = b""
        if head or self.status in (204, 304):
            return
        if "content-length" in self.fields:
            self.body = read_exactly(file, int(self.fields["content-length"]))
        elif self.fields.get("transfer-encoding") == "chunked":
            while True:
                line = file.readline()
                if not line:
                    raise EOFError("closed within a chunked body")
                length = int(line, 16)
                self.body += read_exactly(file, length)
                file.readline()
                if length == 0:
                    break
        else:
            self.body = file.read()


def read_exactly(file, length):
    data = file.read(length)
    if len(data) < length:
        raise EOFError("%d of %d bytes" % (len(data), length))
    return data


def send_request(sock, method, target, body=None, fields=(), chunked=False):
    lines = ["%s %s HTTP/1.1" % (method, target), "Host: device", *fields]
    if chunked:
        lines.append("Transfer-Encoding: chunked")
    elif body is not None:
        lines.append("Content-Length: %d" % len(body))
    sock.sendall("\r\n".join(lines + ["", ""]).encode())
    if body is None:
        return
    if not chunked:
        sock.sendall(body)
        return
    for i in range(0, len(body), 3001):
        piece = body[i:i + 3001]
        sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
    sock.sendall(b"0\r\n\r\n")


def ask(method, target, body=None, fields=(), chunked=False):
    """One request on a connection of its own."""
    with connect() as sock:
        send_request(sock, method, target, body, [*fields, "Connection: close"], chunked)
        with sock.makefile("rb") as file:
            return Response(file, method == "HEAD")


def at_once(count, job):
    """job(i) by so many threads; what each returned, or the error it ended with."""
    results = [None] * count

    def run(i):
        for _ in range(options.tries):
            try:
                results[i] = job(i)
                return
            except (OSError, EOFError) as error:
                results[i] = repr(error)
    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
        time.sleep(options.apart)
    for thread in threads:
        thread.join()
    return results


def all_true(results):
    bad = [r for r in results if r is not True]
    return True if not bad else "%d of %d: %s" % (len(bad), len(results), bad[:3])


def status():
    return json.loads(ask("GET", "/api/status").body)


def sum_is(response, data):
    return json.loads(response.body) == {"bytes": len(data), "crc32": "%08x" % zlib.crc32(data)}


for _ in range(options.tries):
    try:
        PAGE = ask("GET", "/").body
        break
    except (OSError, EOFError) as error:
        print("# " + repr(error))


def pattern(length):
    return (PAGE[:256] * (length // 256 + 1))[:length]


@check("the page")
def _():
    r = ask("GET", "/")
    return r.status == 200 and r.body.startswith(b"<!doctype html>") or r.body[:100]


@check("HEAD of the page tells its length")
def _():
    r = ask("HEAD", "/")
    return r.fields["content-length"] == str(len(PAGE)) or r.fields


@check("the status is JSON")
def _():
    return status()["requests"] > 0


@check("the LED goes on and off")
def _():
    states = []
    for on in ("true", "false"):
        r = ask("PUT", "/api/led", b'{"on":%s}' % on.encode())
        states.append((r.status, json.loads(r.body)["on"], json.loads(ask("GET", "/api/led").body)["on"]))
    return states == [(200, True, True), (200, False, False)] or states


@check("what the LED does not understand is 400, what is too long 413")
def _():
    r = [ask("PUT", "/api/led", body).status for body in (b"{}", b"on", b"", b"x" * 500)]
    return r == [400, 400, 400, 413] or r


@check("400, 404, 405 with what is allowed, 431")
def _():
    r = [ask("GET", "/speed?bytes=x").status, ask("GET", "/a b").status,
         ask("GET", "/none").status, ask("DELETE", "/firmware").fields.get("allow"),
         ask("GET", "/", fields=["X: " + "y" * 5000]).status]
    return r == [400, 400, 404, "GET, HEAD, PUT", 431] or r


@check("%d requests on kept connections" % options.requests)
def _():
    good = connections = 0
    sock = None
    for _ in range(options.requests):
        if sock is None:
            sock = connect()
            connections += 1
        send_request(sock, "GET", "/api/led")
        with sock.makefile("rb") as file:
            r = Response(file)
        good += r.status == 200
        if r.fields.get("connection") == "close":
            sock.close()
            sock = None
    if sock:
        sock.close()
    return good == options.requests and connections == (good + 99) // 100 or (good, connections)


@check("%d requests, a connection each" % (options.requests // 4))
def _():
    return all_true([ask("GET", "/api/led").status == 200 for _ in range(options.requests // 4)])


@check("50 requests pipelined")
def _():
    with connect() as sock:
        sock.sendall(b"GET /api/led HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
        with sock.makefile("rb") as file:
            return all_true([Response(file).status == 200 for _ in range(50)])


@check("a request byte by byte")
def _():
    with connect() as sock:
        for byte in b"GET /api/led HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":
            sock.sendall(bytes([byte]))
        return Response(sock.makefile("rb")).status == 200


@check("a stream of %d bytes" % options.bytes)
def _():
    r = ask("GET", "/speed?bytes=%d" % options.bytes)
    return r.body == pattern(options.bytes) or len(r.body)


@check("three events, each a measurement")
def _():
    with connect() as sock:
        send_request(sock, "GET", "/events")
        with sock.makefile("rb") as file:
            while file.readline() != b"\r\n":
                pass
            numbers = []
            while len(numbers) < 3:
                line = file.readline()
                if not line:
                    return "ended"
                if line.startswith(b"data:"):
                    numbers.append(json.loads(line[5:])["number"])
    return numbers == [numbers[0], numbers[0] + 1, numbers[0] + 2] or numbers


@check("the console over WebSocket, and its end")
def _():
    with connect() as sock:
        send_request(sock, "GET", "/console", fields=[
            "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="])
        with sock.makefile("rb") as file:
            while True:
                line = file.readline()
                if line in (b"\r\n", b""):
                    break
                if line.lower().startswith(b"sec-websocket-accept:"):
                    accept = line.split()[1]
            answers = []
            for command in (b"led on", b"led", b"led off", b"?"):
                mask = b"\x11\x22\x33\x44"
                masked = bytes(b ^ mask[i % 4] for i, b in enumerate(command))
                sock.sendall(bytes([0x81, 0x80 | len(command)]) + mask + masked)
                kind, length = read_exactly(file, 2)
                answers.append((kind, read_exactly(file, length)))
            sock.sendall(b"\x88\x82\0\0\0\0\x03\xe8")
            closing = read_exactly(file, 4)
    return accept == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" and closing == b"\x88\x02\x03\xe8" and answers == [
        (0x81, b"the led is on"), (0x81, b"the led is on"), (0x81, b"the led is off"),
        (0x81, b"commands: led, led on, led off")] or (accept, closing, answers)


@check("a held answer comes with the next measurement")
def _():
    a = json.loads(ask("GET", "/api/next").body)["number"]
    b = json.loads(ask("GET", "/api/next").body)["number"]
    return b > a or (a, b)


@check("a client that shuts its side behind the request still gets the held answer")
def _():
    if context:
        return True         # TLS: closing one side is not Python's to do
    with connect() as sock:
        sock.sendall(b"GET /api/next HTTP/1.1\r\nHost: x\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        return Response(sock.makefile("rb")).status == 200


@check("the running image")
def _():
    r = ask("GET", "/firmware")
    if options.image:
        with open(options.image, "rb") as file:
            return r.body == file.read() or len(r.body)
    return r.status == 200


@check("a range of the image, and 304 for who has it")
def _():
    whole = ask("GET", "/firmware")
    part = ask("GET", "/firmware", fields=["Range: bytes=1000-1999"])
    same = ask("GET", "/firmware", fields=["If-None-Match: " + whole.fields["etag"]])
    return (part.status, part.body, same.status) == (206, whole.body[1000:2000], 304) or \
        (part.status, len(part.body), same.status)


@check("an update of %d bytes, larger than RAM" % options.bytes)
def _():
    r = ask("PUT", "/firmware?crc32=" + SUM, DATA)
    return r.status == 200 and sum_is(r, DATA) or r.body


@check("an update with another sum than announced is refused")
def _():
    r = ask("PUT", "/firmware?crc32=" + SUM, DATA[:-1])
    return r.status == 422 or r.status


@check("a second update at the same time is told to wait")
def _():
    with connect() as sock:
        sock.sendall(b"PUT /firmware HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(DATA) +
                     DATA[:5000])
        deadline = time.time() + options.limit
        while status()["held"] < 2 and time.time() < deadline:
            time.sleep(0.05)
        r = ask("PUT", "/firmware", DATA[:5000])
        sock.sendall(DATA[5000:])
        first = Response(sock.makefile("rb"))
    return r.status == 503 and r.fields["retry-after"] == "5" and sum_is(first, DATA) or \
        (r.status, first.body)


@check("uploads of 1, 300 and %d bytes" % options.bytes)
def _():
    return all_true([sum_is(ask("PUT", "/speed", DATA[:n]), DATA[:n]) for n in (1, 300, len(DATA))])


@check("the same in chunks")
def _():
    return all_true([sum_is(ask("PUT", "/speed", DATA[:n], chunked=True), DATA[:n])
                     for n in (1, 300, len(DATA))])


@check("100 Continue, then the body")
def _():
    with connect() as sock:
        send_request(sock, "PUT", "/speed", fields=["Expect: 100-continue", "Content-Length: %d" % len(DATA)])
        file = sock.makefile("rb")
        line = file.readline()
        file.readline()
        sock.sendall(DATA)
        r = Response(file)
    return line.startswith(b"HTTP/1.1 100 ") and sum_is(r, DATA) or line


@check("uploads broken off by FIN and by reset; the next update is served")
def _():
    head = b"PUT /firmware HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(DATA)
    for reset in (False, True):
        sock = connect()
        sock.sendall(head + DATA[:20000])
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    deadline = time.time() + options.limit
    while time.time() < deadline:
        r = ask("PUT", "/firmware", DATA[:50000])
        if r.status != 503:
            break
        time.sleep(0.1)
    return r.status == 200 and sum_is(r, DATA[:50000]) or r.status


@check("downloads broken off")
def _():
    for target in (b"/speed?bytes=50000000", b"/firmware") * options.slots:
        sock = connect()
        sock.sendall(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % target)
        sock.recv(100)
        sock.close()
    return ask("GET", "/").status == 200


@check("all slots idle, newcomers still come in")
def _():
    idle = [connect() for _ in range(options.slots)]
    for sock in idle:
        send_request(sock, "GET", "/api/led")
        Response(sock.makefile("rb"))
    answers = [ask("GET", "/api/led").status == 200 for _ in range(options.slots)]
    for sock in idle:
        sock.close()
    return all_true(answers)


@check("all slots held, a newcomer waits and is served")
def _():
    held = [connect() for _ in range(options.slots)]
    for sock in held:
        sock.sendall(b"GET /api/next HTTP/1.1\r\nHost: x\r\n\r\n")
    newcomer = ask("GET", "/api/led").status
    answers = [Response(sock.makefile("rb")).status == 200 for sock in held]
    for sock in held:
        sock.close()
    return newcomer == 200 and all_true(answers) or newcomer


@check("%d requests at once, none reset" % options.crowd)
def _():
    return all_true(at_once(options.crowd, lambda i: ask("GET", "/api/led").status == 200))


@check("%d downloads at once, none reset" % options.crowd)
def _():
    length = min(40000, options.bytes // 2)
    return all_true(at_once(options.crowd, lambda i: ask("GET", "/speed?bytes=%d" % length).body == pattern(length)))


for crowd in sorted({options.slots + 2, 3 * options.slots, 4 * options.slots}):
    if crowd > options.crowd:
        continue

    @check("%d uploads of %d bytes at once, none reset" % (crowd, options.bytes // 8))
    def _():
        data = DATA[:options.bytes // 8]
        return all_true(at_once(crowd, lambda i: sum_is(ask("PUT", "/speed", data), data)))


@check("up and down at once")
def _():
    data = DATA[:options.bytes // 4]

    def job(i):
        if i % 2:
            return sum_is(ask("PUT", "/speed", data), data)
        return ask("GET", "/speed?bytes=%d" % len(data)).body == pattern(len(data))
    return all_true(at_once(options.slots, job))


def break_off(text, wait=0):
    """says so much, reads a little if wait is not 0, and goes: with FIN, or with a reset"""
    sock = connect()
    sock.sendall(text)
    if wait:
        sock.recv(wait)
    if random.random() < 0.5:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
    return True


def kept(count, at_once):
    """so many requests on one connection, one by one or pipelined"""
    with connect() as sock, sock.makefile("rb") as file:
        request = b"GET /api/led HTTP/1.1\r\nHost: x\r\n\r\n"
        answers = []
        if at_once:
            sock.sendall(request * count)
        while len(answers) < count:
            if not at_once:
                sock.sendall(request)
            r = Response(file)
            answers.append(r.status)
            if r.fields.get("connection") == "close":       # newcomers wait: it is their turn
                break
        return set(answers) == {200}


def console(says_goodbye):
    with connect() as sock, sock.makefile("rb") as file:
        send_request(sock, "GET", "/console", fields=[
            "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="])
        while file.readline() not in (b"\r\n", b""):
            pass
        sock.sendall(b"\x01\x81\0\0\0\0l" + b"\x89\x80\0\0\0\0" + b"\x80\x82\0\0\0\0ed")
        frames = []
        for _ in range(2):
            kind, length = read_exactly(file, 2)
            frames.append((kind, read_exactly(file, length)))
        if says_goodbye:
            sock.sendall(b"\x88\x82\0\0\0\0\x03\xe8")
            frames.append((0x88, read_exactly(file, 4)))
        return frames[0] == (0x8a, b"") and frames[1][1].startswith(b"the led is")


UPLOAD = b"PUT /firmware HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n"
SOAK_JOBS = [
    lambda: ask("GET", "/").body == PAGE,
    lambda: ask("HEAD", "/").status == 200,
    lambda: status()["forgotten"] >= 0,
    lambda: kept(5, False),
    lambda: kept(10, True),
    lambda: ask("GET", "/speed?bytes=9000").body == pattern(9000),
    lambda: sum_is(ask("PUT", "/speed", DATA[:7000]), DATA[:7000]),
    lambda: sum_is(ask("PUT", "/speed", DATA[:7000], chunked=True), DATA[:7000]),
    lambda: ask("PUT", "/firmware", DATA[:9000]).status in (200, 503),
    lambda: ask("GET", "/api/next").status == 200,
    lambda: ask("GET", "/firmware", fields=["Range: bytes=1000-1999"]).status == 206,
    lambda: ask("PUT", "/api/led", b'{"on":false}').status == 200,
    lambda: [ask("GET", path).status for path in ("/none", "/a b")] == [404, 400],
    lambda: ask("GET", "/", fields=["X: " + "y" * 2000]).status == 431,
    lambda: console(True),
    lambda: console(False),
    lambda: break_off(b""),
    lambda: break_off(b"GET /api/led HTT"),
    lambda: break_off(UPLOAD + DATA[:3000]),
    lambda: break_off(b"GET /speed?bytes=900000 HTTP/1.1\r\nHost: x\r\n\r\n", 100),
    lambda: break_off(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    lambda: break_off(b"GET /api/next HTTP/1.1\r\nHost: x\r\n\r\n"),
]


def settled():
    """what must be the same whenever only the one who asks is there"""
    deadline = time.time() + 2 * options.limit
    while True:
        s = status()
        found = {name: s[name] for name in
                 ("connections", "held", "forgotten", "sockets", "packets", "tls_heap") if name in s}
        if (s["connections"], s["held"]) == (1, 1) or time.time() > deadline:
            return found
        time.sleep(0.3)


def soak():
    """every worker does one thing after the other, by chance; who silently waits for its turn may
    give way to a newcomer, and QEMU's port forwarding may refuse one, so that some come again"""
    end = time.time() + options.soak
    lost = []

    def job(i):
        chance = random.Random(i)
        done = 0
        while time.time() < end:
            what = chance.randrange(len(SOAK_JOBS))
            try:
                if not SOAK_JOBS[what]():
                    return "job %d: a wrong answer" % what
                done += 1
            except (OSError, EOFError) as error:
                lost.append("job %d: %r" % (what, error))
        return done
    results = at_once(options.slots + 2, job)
    bad = [r for r in results if not isinstance(r, int)]
    done = sum(r for r in results if isinstance(r, int))
    print("# soak: %d jobs in %d s, %d came again" % (done, options.soak, len(lost)))
    return bad or (lost if len(lost) > 2 + done // 50 else [])


if options.soak > 0:
    @check("%d s of everything at once, and then it is as it was" % options.soak)
    def _():
        before = settled()
        bad = soak()
        after = settled()
        if not bad and before["forgotten"] == 0 and before == after:
            return True
        return bad[:3], before, after


@check("nothing is left behind")
def _():
    deadline = time.time() + options.limit
    while True:
        s = status()
        left = (s["connections"], s["held"], s["forgotten"])
        if left == (1, 1, 0) or time.time() > deadline:
            return left == (1, 1, 0) or left
        time.sleep(0.3)


print("# " + json.dumps(status()))
print("1..%d" % number)
raise SystemExit(failures > 0)
