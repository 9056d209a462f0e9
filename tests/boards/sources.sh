# sources.sh - lwIP and mbedTLS as firmware takes them: source packages of Debian, fetched into
# build/sources by an apt of its own; the machine's package lists stay as they are. To be sourced
# in the project's root.

sources_folder=$PWD/build/sources
lwip22=$sources_folder/lwip-2.2     # trixie's, with the unix and FreeRTOS ports in contrib/
lwip21=$sources_folder/lwip-2.1     # bookworm's
mbedtls=$sources_folder/mbedtls-2.28

# fetch_source SUITE PACKAGE FOLDER
fetch_source() {
    local apt=$sources_folder/apt-$1 uri key options
    [ ! -f "$3/complete" ] || return 0
    uri=$(apt-get indextargets --format "\$(REPO_URI)" "Origin: Debian" "Codename: bookworm" |
        head -n 1)
    key=$(dpkg -L debian-archive-keyring 2>/dev/null | grep '/debian-archive-keyring\.gpg$')
    [ -n "$uri" ] && [ -n "$key" ] || return
    options="-qq -o Dir::Etc::sourcelist=$apt/sources.list -o Dir::Etc::sourceparts=-
             -o Dir::State::lists=$apt/lists -o Dir::State::status=$apt/status
             -o Dir::Cache=$apt/cache -o APT::Sandbox::User=root"
    if [ ! -d "$apt" ]; then
        mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
        : >"$apt/status"
        echo "deb-src [signed-by=$key] $uri $1 main" >"$apt/sources.list"
        # shellcheck disable=SC2086
        apt-get $options update || return
    fi
    rm -rf "$3" "$3.d"
    mkdir -p "$3.d"
    # Debian's patches turn lwIP into a library for its Hurd: without them
    # shellcheck disable=SC2086
    (cd "$3.d" && apt-get $options source --download-only "$2" &&
        dpkg-source --skip-patches -x "$2"_*.dsc "$3") || return
    rm -rf "$3.d"
    touch "$3/complete"
}

# Fails when something cannot be had; what was said is in build/sources/log.
fetch_sources() {
    mkdir -p "$sources_folder"
    {
        fetch_source trixie lwip "$lwip22" && fetch_source bookworm lwip "$lwip21" &&
            fetch_source bookworm mbedtls "$mbedtls"
        fetched=$?
        rm -rf "$sources_folder"/apt-*
    } >"$sources_folder/log" 2>&1
    return $fetched
}
