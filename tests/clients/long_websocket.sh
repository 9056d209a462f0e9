#!/bin/bash
# WebSocket with real clients: ws (npm), aiohttp (Python), gorilla (Go), Chromium; and behind nginx
# and HAProxy
. "$(dirname "$0")/../script.sh"
. "$(dirname "$0")/browser.sh"

PATH=$PATH:/usr/sbin:/usr/local/sbin
python=
for candidate in python3 /usr/bin/python3; do
    "$candidate" -c 'import aiohttp' 2>/dev/null && { python=$candidate; break; }
done
build websocket
build websocket_events
build chat
start websocket 0
echo_port=$port
echo_server=$started

# python_echo PORT: what aiohttp makes of the echo server
python_echo() {
    timeout 60 "$python" - "$1" <<'PY'
import asyncio, sys, aiohttp

async def main(url):
    async with aiohttp.ClientSession() as session:
        async with session.ws_connect(url, compress=15) as ws:
            for size in (0, 1, 125, 126, 127, 65535, 65536):
                await ws.send_bytes(bytes(i * 7 & 255 for i in range(size)))
                answer = await ws.receive_bytes()
                assert answer == bytes(i * 7 & 255 for i in range(size)), size
                await ws.send_str('ä' * (size // 2))
                assert await ws.receive_str() == 'ä' * (size // 2), size
            for i in range(300):
                await ws.send_str('message %d' % i)
            for i in range(300):
                assert await ws.receive_str() == 'message %d' % i
            await ws.send_bytes(bytes(65537))
            message = await ws.receive()
            assert message.type == aiohttp.WSMsgType.CLOSE and message.data == 1009, message
            assert ws.close_code == 1009
        async with session.ws_connect(url) as ws:
            await ws.close(code=4321, message=b'bye')
            assert ws.close_code == 4321
        sockets = [await session.ws_connect(url) for _ in range(3)]
        for i, ws in enumerate(sockets):
            await ws.send_str(str(i))
        assert [await ws.receive_str() for ws in sockets] == ['0', '1', '2']
        for ws in sockets:
            await ws.close()
    print('fine')

asyncio.run(main('http://127.0.0.1:%s/ws' % sys.argv[1]))
PY
}

# node_echo PORT [OPTION]: the same with ws from npm
node_echo() {
    NODE_PATH=$browser_home/node_modules timeout 60 node - "$1" <<'JS' 2>&1
const { WebSocket } = require('ws');
const url = 'ws://127.0.0.1:' + process.argv[2] + '/ws';
const { once: next } = require('events');
(async () => {
    const ws = new WebSocket(url);
    await next(ws, 'open');
    for (const size of [0, 1, 125, 126, 127, 4095, 65535, 65536]) {
        const data = Buffer.alloc(size, 'xyz');
        const answer = next(ws, 'message');
        ws.send(data, { binary: true });
        const [got, binary] = await answer;
        if (!binary || !got.equals(data))
            throw new Error('size ' + size);
    }
    let answer = next(ws, 'message');               // in fragments, with a ping between them
    const pong = next(ws, 'pong');
    ws.send('one ', { fin: false });
    ws.ping('between');
    ws.send('two ', { fin: false });
    ws.send('grüße', { fin: true });
    if ((await answer)[0].toString() !== 'one two grüße')
        throw new Error('fragments');
    if ((await pong)[0].toString() !== 'between')
        throw new Error('pong');
    let heard = 0;
    const all = new Promise(done => ws.on('message', m => { if (++heard === 1000) done(); }));
    for (let i = 0; i < 1000; i++)
        ws.send('message ' + i);
    await all;
    let closed = next(ws, 'close');
    ws.close(3000, 'done');
    if ((await closed)[0] !== 3000)
        throw new Error('close');
    const other = new WebSocket(url, { origin: 'http://evil.example' });
    const refused = await new Promise(done => other.on('unexpected-response',
        (request, response) => done(response.statusCode)));
    if (refused !== 403)
        throw new Error('origin ' + refused);
    console.log('fine');
    process.exit(0);
})().catch(error => { console.log(error); process.exit(1); });
JS
}

# go_echo PORT: the same with gorilla/websocket; it writes in fragments of its buffer's size
go_echo() {
    cat >"$dir/echo.go" <<'GO'
package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

func must(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func echo(c *websocket.Conn, kind int, data []byte) {
	must(c.WriteMessage(kind, data))
	gotKind, got, err := c.ReadMessage()
	must(err)
	if gotKind != kind || !bytes.Equal(got, data) {
		must(fmt.Errorf("%d bytes came back as %d of type %d", len(data), len(got), gotKind))
	}
}

func main() {
	url := "ws://127.0.0.1:" + os.Args[1] + "/ws"
	dialer := websocket.Dialer{WriteBufferSize: 500, EnableCompression: true}
	c, _, err := dialer.Dial(url, nil)
	must(err)
	must(c.SetReadDeadline(time.Now().Add(50 * time.Second)))
	for _, size := range []int{0, 1, 125, 126, 127, 499, 500, 501, 65535, 65536} {
		echo(c, websocket.BinaryMessage, bytes.Repeat([]byte{0xe2, 0x00}, size)[:size])
		echo(c, websocket.TextMessage, []byte(strings.Repeat("ä", size/2)))
	}
	pongs := 0
	c.SetPongHandler(func(text string) error {
		if text == "there?" {
			pongs++
		}
		return nil
	})
	for i := 0; i < 1000; i++ {
		must(c.WriteControl(websocket.PingMessage, []byte("there?"), time.Time{}))
		must(c.WriteMessage(websocket.TextMessage, []byte(fmt.Sprint("message ", i))))
	}
	for i := 0; i < 1000; i++ {
		_, got, err := c.ReadMessage()
		must(err)
		if string(got) != fmt.Sprint("message ", i) {
			must(fmt.Errorf("message %d is %q", i, got))
		}
	}
	if pongs != 1000 {
		must(fmt.Errorf("%d pongs", pongs))
	}
	must(c.WriteMessage(websocket.TextMessage, []byte("\xff")))
	_, _, err = c.ReadMessage()
	if !websocket.IsCloseError(err, websocket.CloseInvalidFramePayloadData) {
		must(fmt.Errorf("no 1007 but %v", err))
	}
	c, _, err = dialer.Dial(url, nil)
	must(err)
	must(c.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(4000, "bye"), time.Time{}))
	_, _, err = c.ReadMessage()
	if !websocket.IsCloseError(err, 4000) {
		must(fmt.Errorf("no 4000 but %v", err))
	}
	fmt.Println("fine")
}
GO
    GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE=$dir/go GOFLAGS=-p=1 \
        go build -o "$dir/echo_go" "$dir/echo.go" && timeout 60 "$dir/echo_go" "$1"
}

have_go=
if command -v go >/dev/null && [ -d /usr/share/gocode/src/github.com/gorilla/websocket ]; then
    have_go=1
    is "gorilla: every length, fragments, a thousand pings and messages, bad UTF-8, closing" fine \
        "$(go_echo "$echo_port" 2>&1)"
else
    echo "# there is no Go, or no gorilla/websocket"
fi
if [ -n "$python" ]; then
    is "aiohttp: every length, many at once, the limit, closing" fine "$(python_echo "$echo_port" 2>&1)"
else
    echo "# there is no aiohttp"
fi
have_ws=
if command -v node >/dev/null && command -v npm >/dev/null; then
    mkdir -p "$browser_home"
    [ -d "$browser_home/node_modules/ws" ] ||
        npm install --silent --no-audit --no-fund --prefix "$browser_home" ws@8 >"$dir/log" 2>&1
    [ -d "$browser_home/node_modules/ws" ] && have_ws=1
fi
if [ -n "$have_ws" ]; then
    is "ws: every length, fragments and pings, a thousand messages, closing, an origin" fine \
        "$(node_echo "$echo_port")"
else
    echo "# there is no ws"
fi

# behind_proxy NAME PORT
behind_proxy() {
    for _ in $(seq 100); do
        ask -o "$dir/out" "http://127.0.0.1:$2/" && break
        sleep 0.1
    done
    if [ -n "$python" ]; then
        is "$1 passes it on for aiohttp" fine "$(python_echo "$2" 2>&1)"
    fi
    if [ -n "$have_ws" ]; then
        is "$1 passes it on for ws" fine "$(node_echo "$2")"
    fi
    if [ -n "$have_go" ]; then
        is "$1 passes it on for gorilla" fine "$(timeout 60 "$dir/echo_go" "$2" 2>&1)"
    fi
}

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

if command -v nginx >/dev/null; then
    front=$(free_port)
    cat >"$dir/nginx.conf" <<NGINX
$([ "$(id -u)" != 0 ] || echo "user root;")
events { }
http {
    access_log off;
    client_body_temp_path $dir/body; proxy_temp_path $dir/proxy; fastcgi_temp_path $dir/fastcgi;
    uwsgi_temp_path $dir/uwsgi; scgi_temp_path $dir/scgi;
    server {
        listen 127.0.0.1:$front;
        location / {
            proxy_pass http://127.0.0.1:$echo_port;
            proxy_http_version 1.1;
            proxy_set_header Host \$http_host;
            proxy_set_header Upgrade \$http_upgrade;
            proxy_set_header Connection "upgrade";
        }
    }
}
NGINX
    nginx -p "$dir" -c "$dir/nginx.conf" -e "$dir/log" \
        -g "daemon off; master_process off; pid $dir/nginx.pid; error_log $dir/log;" 2>>"$dir/log" &
    children+=($!)
    behind_proxy nginx "$front"
else
    echo "# there is no nginx"
fi
if command -v haproxy >/dev/null; then
    front=$(free_port)
    cat >"$dir/haproxy.cfg" <<HAPROXY
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout tunnel 1h
listen all
    bind 127.0.0.1:$front
    server one 127.0.0.1:$echo_port
HAPROXY
    haproxy -db -f "$dir/haproxy.cfg" >"$dir/log" 2>&1 &
    children+=($!)
    behind_proxy HAProxy "$front"
else
    echo "# there is no HAProxy"
fi
end TERM "$echo_server"

chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome)
if [ -n "$chromium" ] && [ -n "$have_ws" ]; then
    need_browser
    start websocket 0
    is "Chromium: the page in plain mode sends and hears" "connected
hello
grüße" "$(browse "$url" <<'JS'
        await page.waitForFunction(() => state.textContent === 'connected');
        for (const text of ['hello', 'grüße']) {
            await page.fill('#text', text);
            await page.click('button');
        }
        await page.waitForFunction(() => log.textContent.split('\n').length === 3);
        return await page.textContent('#state') + '\n' + (await page.textContent('#log')).trim();
JS
    )"
    end TERM "$started"
    start websocket_events 0
    is "Chromium: the page in event mode sends a file of a megabyte" \
        "1048576 bytes in 256 parts" "$(browse "$url" <<'JS'
        await page.waitForFunction(() => state.textContent === 'connected');
        await page.setInputFiles('#file', { name: 'f', mimeType: 'application/octet-stream',
                                            buffer: Buffer.alloc(1 << 20, 'x') });
        await page.waitForFunction(() => log.textContent !== '');
        return (await page.textContent('#log')).trim();
JS
    )"
    end TERM "$started"
    start chat 0
    is "Chromium: two people chat, one leaves" "Ann hello <b>all</b>|AnnBob|Ann" \
        "$(browse "$url" <<'JS'
        const other = await page.context().newPage();
        await other.goto(page.url());
        const join = async (p, name) => { await p.fill('#text', name); await p.click('button');
            await p.waitForFunction(() => state.textContent === 'connected'); };
        await join(page, 'Ann');
        await join(other, 'Bob');
        await page.waitForFunction(() => people.children.length === 2);
        const both = await page.textContent('#people');
        await page.fill('#text', 'hello <b>all</b>');
        await page.click('button');
        await other.waitForFunction(() => log.children.length === 1);
        const heard = await other.textContent('#log');
        await other.close();
        await page.waitForFunction(() => people.children.length === 1);
        return heard + '|' + both + '|' + await page.textContent('#people');
JS
    )"
    end TERM "$started"
    is "and the server ends with status 0" 0 $?
else
    echo "# there is no Chromium, or no ws to come with it"
fi
[ $number -gt 0 ] || skip_all "there is no WebSocket client"
done_testing
