# browser.sh - a real browser for long_browser_*.sh: Chromium, headless; behind script.sh
#
#     . "$(dirname "$0")/../script.sh"
#     . "$(dirname "$0")/browser.sh"
#     need_browser
#     is "the page says who it is" "Events" "$(browse "$url/" <<'JS'
#         return await page.title();
#     JS
#     )"
#
# playwright-core comes from npm into build/browser, once, and drives the system's Chromium, which
# gets a fresh profile each time. Without npm or Chromium the tests are skipped.

browser_home=$root/build/browser

# need_browser PACKAGE...: skips everything if there is none and none can be had, nor these other
# packages of npm.
need_browser() {
    local package
    chromium=$(command -v chromium || command -v chromium-browser || command -v google-chrome) ||
        skip_all "there is no chromium"
    command -v node >/dev/null || skip_all "there is no node"
    command -v npm >/dev/null || [ -d "$browser_home/node_modules/playwright-core" ] ||
        skip_all "there is no npm"
    for package in playwright-core@1 "$@"; do
        only_one browser install_package "$package" || skip_all "npm has no $package"
    done
}

install_package() {
    [ ! -d "$browser_home/node_modules/${1%@*}" ] || return 0
    mkdir -p "$browser_home"
    npm install --silent --no-audit --no-fund --prefix "$browser_home" "$1" >"$dir/log" 2>&1
}

# browse URL ARGUMENT...: opens the page (none for an empty URL) and runs the JavaScript on standard
# input, in which `page` is the page, `args` the arguments and `sleep(ms)` waits. What it returns is
# printed; what it throws, or what the page itself threw, goes to $dir/browser.err, and the status
# is 1.
browse() {
    NODE_PATH=$browser_home/node_modules CHROMIUM=$chromium timeout -k 5 240 node -e '
        const { chromium } = require("playwright-core");
        const text = require("fs").readFileSync(0, "utf8");
        const AsyncFunction = (async () => {}).constructor;
        const [url, ...args] = process.argv.slice(1);
        const sleep = ms => new Promise(done => setTimeout(done, ms));
        (async () => {
            const browser = await chromium.launch({
                executablePath: process.env.CHROMIUM, headless: true,
                args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                       "--disable-background-networking", "--disable-component-update",
                       "--disable-sync", "--disable-dev-shm-usage", "--no-proxy-server"] });
            let status = 0;
            try {
                const context = await browser.newContext({ ignoreHTTPSErrors: true });
                const page = await context.newPage();
                page.setDefaultTimeout(20000);
                page.on("pageerror", error => { console.error(error); status = 1; });
                if (url !== "")
                    await page.goto(url, { waitUntil: "domcontentloaded" });
                const result =
                    await new AsyncFunction("page", "args", "sleep", text)(page, args, sleep);
                if (result !== undefined)
                    console.log(result);
            } catch (error) {
                console.error(error);
                status = 1;
            }
            await browser.close();
            process.exit(status);
        })();' "$@" 2>"$dir/browser.err" || { sed 's/^/# /' "$dir/browser.err" >&2; return 1; }
}
