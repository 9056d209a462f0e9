"""A WebSocket client of a few lines, for tests of examples: Python's standard library only.

    python3 tests/clients/websocket_client.py PORT PATH STEP...

Steps, in order: a text is sent as one message; "<" waits for a message and prints it; "ping" is
answered or the test fails; "wait SECONDS" waits; "close" closes with 1000 and prints the server's
code; "<close" waits for the server to close and prints its code and reason.
"""
import base64, os, socket, struct, sys, time

port, path, steps = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
s = socket.create_connection(('127.0.0.1', port), 10)
key = base64.b64encode(os.urandom(16)).decode()
s.sendall(('GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
           'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n' % (path, port, key)).encode())
stream = s.makefile('rb')
status = stream.readline().decode().strip()
if ' 101 ' not in status:
    print(status)
    sys.exit(1)
while stream.readline() != b'\r\n':
    pass


def send(opcode, payload):
    mask = os.urandom(4)
    head = bytes([0x80 | opcode])
    if len(payload) < 126:
        head += bytes([0x80 | len(payload)])
    elif len(payload) < 65536:
        head += bytes([0x80 | 126]) + struct.pack('>H', len(payload))
    else:
        head += bytes([0x80 | 127]) + struct.pack('>Q', len(payload))
    s.sendall(head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload)))


def receive():
    first, length = stream.read(2)
    if length == 126:
        length, = struct.unpack('>H', stream.read(2))
    elif length == 127:
        length, = struct.unpack('>Q', stream.read(8))
    return first & 15, stream.read(length)


def expect(opcode):
    while True:
        kind, payload = receive()
        if kind == 9:
            send(10, payload)
        elif kind == opcode or (opcode == 1 and kind == 2):
            return payload
        elif kind == 8:
            print('closed early', payload)
            sys.exit(1)


for step in steps:
    if step == '<':
        print(expect(1).decode())
    elif step == 'ping':
        send(9, b'are you there?')
        assert expect(10) == b'are you there?'
    elif step.startswith('wait '):
        time.sleep(float(step[5:]))
    elif step in ('close', '<close'):
        if step == 'close':
            send(8, struct.pack('>H', 1000))
        payload = expect(8)
        print(struct.unpack('>H', payload[:2])[0], payload[2:].decode())
        if step == '<close':
            send(8, payload[:2])
        assert stream.read(1) == b''
    else:
        send(1, step.encode())
    sys.stdout.flush()
