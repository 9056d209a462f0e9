#!/bin/bash
# The page of examples/dashboard/ in a real browser: signing in, values that move, settings, the
# upload and its bar, a server that goes and comes back, on a desk and on a phone, in light and dark,
# by keyboard, and axe-core's opinion of each state. Screenshots stay in build/browser.
. "$(dirname "$0")/../script.sh"
. "$(dirname "$0")/browser.sh"
need_browser axe-core@4

data=$dir/data
mkdir "$data"
head -c 6000000 /dev/urandom >"$dir/image.bin"
sum=$(sha256sum "$dir/image.bin" | cut -d ' ' -f 1)
truncate -s 17000000 "$dir/large.bin"
build dashboard
start dashboard 0 secret "$data"
dashboard_port=$port

# gone FILE: waits until the page has said so
gone() {
    for _ in $(seq 900); do
        [ -e "$dir/$1" ] && return
        kill -0 "$browser" 2>/dev/null || break
        sleep 0.1
    done
    return 1
}

browse "$url/" "$dir" "$browser_home" >"$dir/report" <<'JS' &
const [dir, home] = args;
const fs = require("fs");
const axe = fs.readFileSync(home + "/node_modules/axe-core/axe.min.js", "utf8");
const lines = [];
const say = (name, value) => lines.push(name + ": " + value);
const requests = [];
page.on("request", request => requests.push(request.url()));
const complaints = [];
page.on("console", message => complaints.push(message.text()));
const until = async (what, condition) => {
    for (let i = 0; i < 150; i++) {
        if (await condition())
            return;
        await sleep(100);
    }
    throw new Error("in vain: " + what);
};
const text = selector => page.innerText(selector);
// what axe-core finds wrong; contrast it cannot judge over a chart's shade is left out
const judge = async state => {
    await page.evaluate(axe);
    const found = await page.evaluate(async () => (await axe.run({
        resultTypes: ["violations"] })).violations.map(v =>
        v.id + " " + v.nodes.map(node => node.html.slice(0, 60)).join(" ")));
    say("axe, " + state, found.length === 0 ? "nothing" : found.join("; "));
};
const desk = { width: 1280, height: 860 };
const phone = { width: 390, height: 844 };
const look = async (size, colorScheme, name) => {
    await page.setViewportSize(size);
    await page.emulateMedia({ colorScheme });
    await page.evaluate(() => scrollTo(0, 0));
    await sleep(200);
    await page.screenshot({ path: `${home}/dashboard-${name}.png`, fullPage: true });
};
const width = () => page.evaluate(() => document.documentElement.scrollWidth);

// --- signing in: by keyboard alone
await page.waitForSelector("#password");
await judge("sign-in");
await page.keyboard.type("wrong");
await page.keyboard.press("Enter");
await until("an answer", async () => await text("#login-error") !== "");
say("wrong", await text("#login-error"));
say("waits", await text("#login-form button"));
await judge("a wrong password");
await look(phone, "light", "sign-in");
await page.setViewportSize(desk);
await until("the wait to end", async () => await text("#login-form button") === "Sign in");
await page.keyboard.type("secret");
await page.keyboard.press("Enter");
await until("live", async () => await text("#state") === "Live");
complaints.length = 0;                  // the browser mentions the 403

// --- live values
const figure = () => text("#temperature .now b");
const uptime = await text("#uptime");
const value = await figure();
await until("values move", async () => await figure() !== value);
await until("uptime moves", async () => await text("#uptime") !== uptime);
const shape = await page.getAttribute("#fan .line", "d");
await until("charts move", async () => await page.getAttribute("#fan .line", "d") !== shape);
say("charts", (await page.$$eval("#temperature .line", all => all[0].getAttribute("d").split("L")
    .length)) > 500 ? "ten minutes" : "less");
const labels = await page.$$eval("#temperature text", all => all.map(t => t.textContent));
say("axes", labels.includes("°C") && labels.filter(t => /^\d\d:\d\d$/.test(t)).length >= 5 ||
    labels.join(" "));
await page.check("[name=span][value='1']");
await until("a minute is shown", async () =>
    (await page.getAttribute("#temperature .line", "d")).split("L").length < 65);
await page.keyboard.press("ArrowRight");
await page.keyboard.press("ArrowRight");
await until("and by keyboard ten again", async () =>
    (await page.getAttribute("#temperature .line", "d")).split("L").length > 500);
await page.focus("#humidity svg");
await page.keyboard.press("Home");
say("a value by keyboard", / at \d\d:\d\d:\d\d$/.test(await text("#humidity .now")));
await page.keyboard.press("Tab");
say("no more", / %$/.test(await text("#humidity .now")));
say("process", /^\d+\.\d MiB$/.test(await text("#stat-process")));
say("slots", await text("#slots"));
await until("the log", async () => (await text("#log")).includes("signed in from 127.0.0.1"));
await page.check("#warnings");
say("warnings only", (await text("#log")).includes("wrong password") &&
    !(await text("#log")).includes("signed in"));
await page.uncheck("#warnings");

// --- settings
await page.fill("#set-target", "50");
await page.fill("#set-name", "");
await page.click("text=Save");
await until("the errors", async () => await text("#error-name") !== "");
say("errors", await text("#error-name") + " " + await text("#error-target") + " " +
    await text("#settings-result"));
say("focus", await page.evaluate(() => document.activeElement.id + " " +
    document.activeElement.getAttribute("aria-invalid")));
await page.setViewportSize(phone);
await judge("wrong fields, phone");
await page.click("text=Undo");
say("undone", await page.inputValue("#set-name") + " " + await text("#error-name"));
await page.fill("#set-name", "Greenhouse 2");
await page.fill("#set-target", "22.5");
say("unsaved", await text("#settings-result"));
await page.keyboard.press("Enter");
await until("saved", async () => await text("#settings-result") === "Saved");
say("name", await text("#name") + ", " + await page.title());
await until("the new target in the chart", async () =>
    (await page.textContent("#temperature svg")).includes("target 22.5 °C"));
complaints.length = 0;                  // and the 422

// --- firmware
const client = await page.context().newCDPSession(page);
const slow = bytes => client.send("Network.emulateNetworkConditions", { offline: false, latency: 0,
    downloadThroughput: -1, uploadThroughput: bytes });
const choose = name => page.setInputFiles("#image", dir + "/" + name);
await choose("large.bin");
await page.click("#install");
say("too large", await text("#firmware-result"));
await choose("image.bin");
say("chosen", await text("#chosen"));
await page.evaluate(() => {
    window.seen = [];
    new MutationObserver(() => window.seen.push(document.getElementById("bar").value))
        .observe(document.getElementById("bar"), { attributes: true });
});
await slow(6e5);
await page.click("#install");
await until("half of it", async () => await page.$eval("#bar", bar => bar.value) > 0.2);
say("on the way", /^\d\d % of 5.7 MiB$/.test(await text("#done")) + " " +
    /iB\/s, \d+ s left$/.test(await text("#speed")));
await judge("an upload");
await page.click("#cancel");
await until("cancelled", async () => await text("#firmware-result") !== "");
say("cancelled", await text("#firmware-result"));
await page.evaluate(() => { window.seen = []; });
await slow(4e6);
await page.click("#install");
await until("the end", async () => await text("#firmware-result") !== "");
await slow(-1);
const seen = await page.evaluate(() => window.seen);
say("bar", seen.every((v, i) => i === 0 || v >= seen[i - 1]) + " " +
    (new Set(seen.filter(v => v > 0 && v < 1)).size >= 3) + " " + seen[seen.length - 1]);
say("installed", await text("#firmware-result"));
say("digest", await text("#digest"));
await look(desk, "light", "desk-light");
say("desk width", await width());
await judge("desk, light");
await look(desk, "dark", "desk-dark");
await judge("desk, dark");
await look(phone, "dark", "phone-dark");
say("phone width", await width());
await judge("phone, dark");
await look(phone, "light", "phone-light");
await page.emulateMedia({ reducedMotion: "reduce" });
say("motion", await page.evaluate(() => document.getAnimations().length));

// --- a restart, and a server that is killed
await page.setViewportSize(desk);
await page.click("#restart");
await until("back", async () => await text("#firmware-result") === "Running again.");
await until("the new firmware", async () => !(await text("#version")).startsWith("Firmware 1.0.0"));
say("firmware", (await text("#version")).split(" ")[1]);
say("complaints", complaints.filter(line => !/ERR_|WebSocket/.test(line)).join("; ") || "none");
fs.writeFileSync(dir + "/kill", "");
await until("noticed", async () => await text("#state") === "Reconnecting");
await look(phone, "light", "lost");
await judge("lost");
fs.writeFileSync(dir + "/start", "");
await until("live again", async () => await text("#state") === "Live");
const again = await figure();
await until("values move again", async () => await figure() !== again);
say("still", await text("#name"));
await until("the log goes on", async () =>
    (await text("#log")).split("started, ").length >= 3);
await page.click("#logout");
await page.waitForSelector("#password", { state: "visible" });
await page.reload();
await page.waitForSelector("#password", { state: "visible" });
say("signed out", await page.isHidden("#app"));
say("strangers", requests.filter(url => new URL(url).host !== new URL(page.url()).host).join(" ") ||
    "none");
return lines.join("\n");
JS
browser=$!
gone kill
ok "the page comes as far as the restart"
end KILL "$started"
gone start
ok "it notices that the server has gone"
[ -e "$dir/start" ] || bail_out "the page works until its server has gone"
start dashboard "$dashboard_port" secret "$data"
wait $browser
ok "it connects again by itself, and all of it works"

# said NAME EXPECTED
said() {
    is "$1" "$2" "$(sed -n "s/^$1: //p" "$dir/report")"
}
said "wrong" "The password is wrong."
said "waits" "Try again in 1 s"
said "charts" "ten minutes"
said "axes" true
said "a value by keyboard" true
said "no more" true
said "process" true
said "slots" 8
said "warnings only" true
said "errors" "Enter a name of 1 to 24 characters. Enter 10 to 35 °C. Not saved."
said "focus" "set-name true"
said "undone" "Greenhouse "
said "unsaved" "Not saved yet"
said "name" "Greenhouse 2, Greenhouse 2"
said "too large" "The image is larger than 16.0 MiB."
said "chosen" "image.bin, 5.7 MiB"
said "on the way" "true true"
said "cancelled" "Cancelled. The old firmware stays."
said "bar" "true true 1"
said "installed" "Installed, 6,000,000 bytes, digest verified. Restart the device to run it."
said "digest" "SHA-256 $sum"
said "desk width" 1280
said "phone width" 390
said "motion" 0
said "firmware" "${sum:0:8}"
said "still" "Greenhouse 2"
said "signed out" true
said "complaints" none
said "strangers" none
for state in "sign-in" "a wrong password" "wrong fields, phone" "an upload" "desk, light" \
        "desk, dark" "phone, dark" "lost"; do
    said "axe, $state" nothing
done
cmp -s "$dir/image.bin" "$data/firmware.bin"
ok "the image is what was chosen"
end TERM "$started"
is "SIGTERM ends it with status 0" 0 $?
for picture in desk-light desk-dark phone-light phone-dark sign-in lost; do
    [ "$(od -A n -t x1 -N 4 "$browser_home/dashboard-$picture.png" | tr -d ' ')" = 89504e47 ]
    ok "there is a screenshot: build/browser/dashboard-$picture.png"
done

# --- HTTPS --------------------------------------------------------------------------------------

if echo '#include <mbedtls/ssl.h>' | "$cc" ${CFLAGS:-} -E - >/dev/null 2>&1 &&
        command -v openssl >/dev/null && tests/server/tls_certificates.sh build/tls; then
    cp build/tls/server.pem "$data/chain.pem"
    cp build/tls/server.key "$data/key.pem"
    build dashboard -DUHTTP_TLS -lmbedtls -lmbedx509 -lmbedcrypto
    start dashboard 0 secret "$data"
    is "HTTPS: signed in and live" "values move" "$(browse "$url/" <<'JS'
        await page.waitForSelector("#password");
        await page.fill("#password", "secret");
        await page.keyboard.press("Enter");
        const figure = () => page.innerText("#temperature .now b");
        const state = word => page.waitForFunction(word =>
            document.getElementById("state").textContent === word, word);
        await state("Live");
        const value = await figure();
        for (let i = 0; i < 100 && await figure() === value; i++)
            await sleep(100);
        return await figure() !== value ? "values move" : "values stay";
JS
    )"
    end TERM "$started"
    is "HTTPS: SIGTERM ends it with status 0" 0 $?
else
    number=$((number + 1))
    echo "ok $number - HTTPS # SKIP no mbedTLS or openssl"
fi
done_testing
