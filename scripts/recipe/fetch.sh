# Downloads with whatever a machine has.  Sourced by scripts/bootstrap and scripts/data.

has_sha256() { [ -f "$1" ] && [ "$(sha256sum <"$1" | cut -d' ' -f1)" = "$2" ]; }

download() { # ADDRESS FILE, by whichever of four programs is there
    if [ -x /usr/lib/apt/apt-helper ] &&
        /usr/lib/apt/apt-helper -o Acquire::Retries=1 -o Acquire::http::Timeout=30 -o Acquire::https::Timeout=30 \
            -o APT::Sandbox::User=root download-file "$1" "$2"; then
        return
    fi
    rm -f "$2"
    if command -v curl >/dev/null; then
        curl -fsSL --connect-timeout 30 --max-time 600 -o "$2" "$1" && return
    elif command -v wget >/dev/null; then
        wget -q -T 30 -t 2 -O "$2" "$1" && return
    elif command -v python3 >/dev/null; then
        python3 -c 'import shutil, sys, urllib.request
with urllib.request.urlopen(sys.argv[1], timeout=30) as source, open(sys.argv[2], "wb") as sink:
    shutil.copyfileobj(source, sink)' "$1" "$2" && return
    fi
    return 1
}

# Debian archives that apt knows on this machine; none is written down here.
archives() { apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep '^http' | sort -u || :; }
