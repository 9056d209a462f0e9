#!/bin/bash
# examples/files.c and examples/rom.c in a real browser: media sought by ranges, and what is
# fetched only once
. "$(dirname "$0")/../script.sh"
. "$(dirname "$0")/browser.sh"
need_browser

# word NUMBER: four bytes, the lowest first
word() {
    # shellcheck disable=SC2059
    printf "$(printf '\\%03o\\%03o\\%03o\\%03o' $(($1 & 255)) $(($1 >> 8 & 255)) \
        $(($1 >> 16 & 255)) $(($1 >> 24 & 255)))"
}

# wave BYTES: silence of so many bytes: stereo, 44100 samples of 16 bits a second
wave() {
    printf 'RIFF'
    word $(($1 + 36))
    printf 'WAVEfmt \20\0\0\0\1\0\2\0'
    word 44100
    word 176400
    printf '\4\0\20\0data'
    word "$1"
    head -c "$1" /dev/zero
}

site=$dir/site
mkdir "$site"
wave 105840000 >"$site/long.wav"        # ten minutes
echo '<!DOCTYPE html><title>media</title><audio id="a" preload="metadata" src="long.wav"></audio>' \
    >"$site/index.html"
build files
start files 0 "$site"

sought=$(browse "$url/" <<'JS'
    return await page.evaluate(async () => {
        const audio = document.getElementById("a");
        const event = name => new Promise((done, failed) => {
            audio.addEventListener(name, done, { once: true });
            audio.addEventListener("error", () => failed(new Error(audio.error.message)),
                                   { once: true });
        });
        if (!(audio.duration > 0))
            await event("loadedmetadata");
        const places = [];
        for (const second of [590, 10, 300]) {
            audio.currentTime = second;
            await event("seeked");
            places.push(Math.round(audio.currentTime));
        }
        return Math.round(audio.duration) + " s, at " + places.join(" ");
    });
JS
)
is "ten minutes of sound are sought in three places" "600 s, at 590 10 300" "$sought"
[ "$(grep -c '"GET /long.wav" 206' "$dir/files.out")" -ge 2 ]
ok "by ranges"
bytes=$(awk '/long.wav/ { n += $NF } END { print n + 0 }' "$dir/files.out")
[ "$bytes" -lt 100000000 ]
ok "and without all of it being sent ($bytes of 105840044 bytes)"
end TERM "$started"
is "SIGTERM ends it with status 0" 0 $?

build rom
start rom 0
shown=$(browse "$url/" <<'JS'
    const answers = [];
    page.on("response", r => answers.push(new URL(r.url()).pathname + " " + r.status()));
    await page.waitForFunction(() => /^\d+$/.test(document.getElementById("uptime").textContent));
    const width = await page.evaluate(() => document.querySelector("img").naturalWidth);
    await page.reload();
    await page.waitForFunction(() => /^\d+$/.test(document.getElementById("uptime").textContent));
    const again = answers.filter(a => a === "/ 304" || a === "/ 200").length;
    return width + " " + (again > 0 ? "reloaded" : "not reloaded");
JS
)
is "page, script and picture from ROM work in a browser" "32 reloaded" "$shown"
end TERM "$started"
is "and end in order" 0 $?
done_testing
