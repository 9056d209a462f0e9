// The echo of websocket.c with ws on node: prints its port; "/cpu" tells its CPU seconds so far.
'use strict';
const { createServer } = require('http');
const { WebSocketServer } = require('ws');

const server = createServer((request, response) => {
    const used = process.cpuUsage();
    response.end(((used.user + used.system) / 1e6).toFixed(6));
});
new WebSocketServer({ server, perMessageDeflate: false }).on('connection', socket => {
    socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }));
});
server.keepAliveTimeout = 0;
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
