// node's http.Agent against a server with fewer slots than it has sockets: node agent.js URL SOCKETS
// REQUESTS METHOD THOUGHT, the last in milliseconds, at most, between two requests of a socket.
// Nothing is repeated. Prints how many were answered, and how many were lost.
const [url, sockets, requests, method, thought] = process.argv.slice(2);
const http = require(url.split(":")[0]);
const agent = new http.Agent({ keepAlive: true, maxSockets: +sockets });
let answered = 0, lost = 0, left = +requests;
const one = done => {
    const body = method === "POST" ? "x".repeat(100) : "";
    const request = http.request(url + "/x", { agent, method,
        headers: body ? { "Content-Length": body.length } : {} }, response => {
        response.resume();
        response.on("end", () => { response.statusCode === 200 ? answered++ : lost++; done(); });
        response.on("error", () => { lost++; done(); });
    });
    request.on("error", () => { lost++; done(); });
    request.end(body);
};
const worker = () => {
    if (left-- > 0)
        one(() => setTimeout(worker, +thought * Math.random()));
};
for (let i = 0; i < +sockets; i++)
    worker();
process.on("exit", () => console.log(`${answered} answered, ${lost} lost`));
const check = setInterval(() => { if (answered + lost >= +requests) process.exit(); }, 50);
