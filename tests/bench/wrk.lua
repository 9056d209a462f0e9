-- Makes wrk send the bytes of a file (the argument behind --) as its request, and print its
-- totals in one line: answers, microseconds, socket errors, answers of 400 and up, timeouts.
-- Formatted once, so that no Lua runs per request. wrk looks into the bytes to see how many
-- requests they are; it then waits for that many answers and counts each of them.

function init(args)
   local file = assert(io.open(args[1], "rb"))
   local bytes = file:read("*a")
   file:close()
   wrk.format = function() return bytes end
end

function done(summary, latency, requests)
   local e = summary.errors
   print(string.format("totals %d %d connect %d read %d write %d status %d timeout %d",
                       summary.requests, summary.duration,
                       e.connect, e.read, e.write, e.status, e.timeout))
end
