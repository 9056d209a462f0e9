-- Says how many bytes came, in how many microseconds, and how much went wrong.
done = function(summary)
    local e = summary.errors
    local errors = e.connect + e.read + e.write + e.status + e.timeout
    io.write(string.format("bytes %.0f %.0f %d\n", summary.bytes, summary.duration, errors))
end
