#!/bin/bash
# The page of examples/upload.c in a real browser: choose a file, see the bar move, see the result.
# A screenshot stays in build/browser.
. "$(dirname "$0")/../script.sh"
. "$(dirname "$0")/browser.sh"
need_browser

files=$dir/files
mkdir "$files"
build upload
start upload 0 "$files" 100
truncate -s 60M "$dir/large.bin"
head -c 4194304 /dev/urandom | dd of="$dir/large.bin" bs=1M seek=29 conv=notrunc status=none
printf 'some text' >"$dir/a \"quoted\" näme.txt"
truncate -s 110M "$dir/too large.bin"

# The network is slowed down, or the bar would be at its end before anybody looks.
LC_ALL=C.UTF-8 browse "$url/" "$dir" "$browser_home/upload.png" >"$dir/report" <<'JS'
const [dir, picture] = args;
const client = await page.context().newCDPSession(page);
const slow = bytes => client.send("Network.emulateNetworkConditions", { offline: false, latency: 0,
    downloadThroughput: -1, uploadThroughput: bytes });
const result = async () => {
    await page.waitForFunction(() => document.getElementById("result").textContent !== "",
                               null, { timeout: 60000 });
    return page.textContent("#result");
};
const send = async (...names) => {
    await page.setInputFiles("#file", names.map(name => dir + "/" + name));
    await page.evaluate(() => {
        const bar = document.getElementById("bar");
        window.seen = [];
        bar.value = 0;
        new MutationObserver(() => window.seen.push(bar.value)).observe(bar, { attributes: true });
    });
    await page.click("button");
    return result();
};
const lines = [];
await slow(25e6);
lines.push(await send("large.bin"));
const seen = await page.evaluate(() => window.seen);
const rises = seen.every((value, i) => i === 0 || value >= seen[i - 1]);
const between = new Set(seen.filter(value => value > 0 && value < 1)).size;
lines.push(`rises: ${rises}, between: ${between >= 3 ? "some" : between}, ` +
           `last: ${seen[seen.length - 1]}, ${await page.textContent("#percent")}`);
await page.screenshot({ path: picture });
await slow(-1);
lines.push(await send('a "quoted" näme.txt', "large.bin"));
lines.push(await send("too large.bin"));
return lines.join("\n");
JS
ok "the page works"
line() { sed -n "$1p" "$dir/report"; }

is "the page says what was stored" "Saved: large.bin, 62914560 bytes" "$(line 1)"
is "the bar rises to its end" "rises: true, between: some, last: 1, 100 %" "$(line 2)"
cmp -s "$dir/large.bin" "$files/large.bin"
ok "the file is what was chosen"
is "several files, odd names" "Saved: a %22quoted%22 näme.txt, 9 bytes; 2-large.bin, 62914560 bytes" \
    "$(line 3)"
is "and they are there" "some text" "$(cat "$files/a %22quoted%22 näme.txt" 2>/dev/null)"
is "what is too large is refused, and the page hears it" "The upload is too large." "$(line 4)"
is "and nothing of it stays" "" "$(ls "$files" | grep -i 'too\|part')"
[ "$(od -A n -t x1 -N 4 "$browser_home/upload.png" | tr -d ' ')" = 89504e47 ]
ok "there is a screenshot: build/browser/upload.png"
end TERM "$started"
is "SIGTERM ends it with status 0" 0 $?
done_testing
