#!/bin/bash
# Live values and moving pictures in a real browser: examples/events.c and examples/camera.c. The
# screenshots stay in build/browser, to be looked at.
. "$(dirname "$0")/../script.sh"
. "$(dirname "$0")/browser.sh"
need_browser

build events
build camera

# --- live values, over a restart of the server ------------------------------------------------

start events 0
events_port=$port
browse "$url/" "$dir" "$browser_home/events.png" >"$dir/report" <<'JS' &
const [dir, picture] = args;
const fs = require("fs");
const text = id => page.textContent("#" + id);
const say = word => fs.writeFileSync(dir + "/" + word, "");
const until = async (what, condition) => {
    for (let i = 0; i < 200; i++) {
        if (await condition())
            return;
        await sleep(100);
    }
    throw new Error("in vain: " + what);
};
await until("connected", async () => await text("state") === "connected");
await until("three values", async () => Number(await text("count")) >= 3);
const seconds = async () => Date.parse(await page.getAttribute("#time", "datetime")) / 1000;
const id = await seconds();
const value = await text("value");
await until("values change", async () => await text("value") !== value);
say("changing");
await until("noticed", async () => await text("state") === "waiting for the server");
const count = Number(await text("count"));
say("noticed");
await until("back again", async () => await text("state") === "connected");
await until("more values", async () => Number(await text("count")) >= count + 3);
const again = await seconds();
await page.screenshot({ path: picture });
return again > id && again - id < 60 ? "ids go on" : "ids went from " + id + " to " + again;
JS
browser=$!
for _ in $(seq 300); do
    [ -e "$dir/changing" ] && break
    sleep 0.1
done
[ -e "$dir/changing" ]
ok "the page sees values change"
end KILL "$started"
for _ in $(seq 300); do
    [ -e "$dir/noticed" ] && break
    sleep 0.1
done
[ -e "$dir/noticed" ]
ok "it notices that the server has gone"
start events "$events_port"
wait $browser
ok "it comes back, and values change again"
is "their numbers go on where they were" "ids go on" "$(cat "$dir/report")"
end TERM "$started"

# --- what was missed meanwhile ----------------------------------------------------------------

start events 0
is "a page whose connection breaks gets what it missed" "no gap" "$(browse "$url/" <<'JS'
// a stream of its own, cut after a moment, as a network would
const result = await page.evaluate(async () => {
    const read = async (last, ms) => {
        const abort = new AbortController();
        setTimeout(() => abort.abort(), ms);
        let text = "";
        try {
            const answer = await fetch("/events?all", { signal: abort.signal,
                headers: last ? { "Last-Event-ID": String(last) } : {} });
            const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
            for (;;) {
                const { done, value } = await reader.read();
                if (done)
                    break;
                text += value;
            }
        } catch (error) {
            if (error.name !== "AbortError")
                throw error;
        }
        return [...text.matchAll(/^id: (\d+)$/mg)].map(match => Number(match[1]));
    };
    const before = await read(0, 2500);
    await new Promise(done => setTimeout(done, 3000));
    return before.concat(await read(before[before.length - 1], 1500));
});
for (let i = 1; i < result.length; i++) {
    if (result[i] !== result[i - 1] + 1)
        return "a gap behind " + result[i - 1] + " in " + result;
}
return result.length >= 6 ? "no gap" : "only " + result;
JS
)"
end TERM "$started"

# --- moving pictures --------------------------------------------------------------------------

start camera 0
camera=$started
browse "$url/" "$dir" "$browser_home/camera.png" >"$dir/report" <<'JS' &
const [dir, picture] = args;
const look = () => page.evaluate(() => {
    const image = document.querySelector("img");
    const canvas = document.createElement("canvas");
    canvas.width = 320;
    canvas.height = 240;
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, 320, 240).data;
    const gray = (x, y) => pixels[(y * 320 + x) * 4];
    let bright = 0;
    let sum = 0;
    for (let y = 0; y < 200; y++) {
        for (let x = 0; x < 320; x++)
            bright += gray(x, y) > 200 ? 1 : 0;
    }
    for (let i = 0; i < pixels.length; i++)
        sum = (sum * 31 + pixels[i]) >>> 0;
    return { width: image.naturalWidth, top: gray(3, 3), horizon: gray(317, 195), bright, sum };
});
await page.waitForFunction(() => document.querySelector("img").naturalWidth === 320);
const seen = new Set();
let balls = 0;
let skies = 0;
for (let i = 0; i < 40; i++) {
    const picture = await look();
    seen.add(picture.sum);
    balls += picture.bright > 300 && picture.bright < 4000 ? 1 : 0;
    skies += Math.abs(picture.top - 41) < 12 && Math.abs(picture.horizon - 137) < 25 ? 1 : 0;
    await sleep(100);
}
await page.screenshot({ path: picture });
require("fs").writeFileSync(dir + "/watched", "");
await sleep(2500);
const last = await look();
return `moves: ${seen.size >= 15}, ball: ${balls >= 20}, sky: ${skies >= 30}, ` +
       `stays: ${last.width === 320 && last.bright + last.top > 0}`;
JS
browser=$!
for _ in $(seq 300); do
    [ -e "$dir/watched" ] && break
    sleep 0.1
done
end TERM "$camera"
is "the camera ends" 0 $?
wait $browser
is "the picture moves, is the one that was drawn, and its last frame stays" \
    "moves: true, ball: true, sky: true, stays: true" "$(cat "$dir/report")"
for picture in events camera; do
    [ "$(od -A n -t x1 -N 4 "$browser_home/$picture.png" | tr -d ' ')" = 89504e47 ]
    ok "there is a screenshot: build/browser/$picture.png"
done
done_testing
