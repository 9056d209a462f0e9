#!/bin/bash
# A browser with more tabs than the server has slots: eight tabs, each with connections of its own,
# open a page of five slots and fetch ten pieces each, over HTTP and HTTPS. None is lost.
. "$(dirname "$0")/../script.sh"
. "$(dirname "$0")/browser.sh"
need_browser

modes=http
build_it() { # NAME FLAG...
    local name=$1
    shift
    "$cc" ${CFLAGS:-} -O1 -Wall -Wextra -Wshadow -Werror -o "$dir/$name" tests/clients/slots_server.c \
        "$@" >"$dir/log" 2>&1
}
build_it slots_server || bail_out "tests/clients/slots_server.c builds"
if echo '#include <mbedtls/ssl.h>' | "$cc" ${CFLAGS:-} -E - >/dev/null 2>&1 &&
        command -v openssl >/dev/null && tests/server/tls_certificates.sh "$dir/certs" >"$dir/log" 2>&1; then
    build_it slots_tls -DUHTTP_TLS -lmbedtls -lmbedx509 -lmbedcrypto ||
        bail_out "tests/clients/slots_server.c builds with TLS"
    modes="http https"
fi
for mode in $modes; do
    case $mode in
    http) start slots_server ;;
    https) start slots_tls -t "$dir/certs" ;;
    esac
    is "$mode: eight tabs on five slots" "8 pages, 80 pieces" "$(browse "" "$url" <<'JS'
        const browser = page.context().browser();
        const tabs = await Promise.all([...Array(8)].map(async () => {
            const tab = await (await browser.newContext({ ignoreHTTPSErrors: true })).newPage();
            tab.on('requestfailed', r => console.error(r.url(), r.failure().errorText));
            const answer = await tab.goto(args[0] + '/x', { timeout: 60000 });
            const pieces = await tab.evaluate(async () => {
                let good = 0;
                for (let i = 0; i < 10; i++)
                    good += (await fetch('/x?' + i)).ok;
                return good;
            });
            return [answer.ok(), pieces];
        }));
        return tabs.filter(t => t[0]).length + ' pages, ' +
               tabs.reduce((sum, t) => sum + t[1], 0) + ' pieces';
JS
    )"
    end TERM "$started"
done
done_testing
