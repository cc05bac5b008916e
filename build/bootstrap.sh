#!/bin/sh
# Makes a virtual environment from the locked requirements:  bootstrap.sh VENV REQUIREMENTS...
# Works on a bare Debian-like machine: no python3-venv and no libpython package are needed, nothing on the host changes.
set -eu
venv=$1
shift
cache=${NODESEAL_BUILD_CACHE:-.cache/build}
mkdir -p "$cache"

supported() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
# A frozen program takes the interpreter's shared library along; prefer an interpreter that has one.
shared() { "$1" -c 'import sysconfig; raise SystemExit(not sysconfig.get_config_var("Py_ENABLE_SHARED"))' 2>/dev/null; }

python=
for candidate in ${PYTHON:-python3 python3.11 python3.12 python3.13 python3.14 /usr/bin/python3}; do
    supported "$candidate" || continue
    [ -n "$python" ] || python=$candidate
    if shared "$candidate"; then python=$candidate; break; fi
done
if [ -z "$python" ]; then
    echo "bootstrap: found no Python 3.11 or newer; install one, or name it: make PYTHON=/path/to/python3" >&2
    exit 1
fi
echo "bootstrap: $("$python" --version) into $venv"

if ! "$python" -m venv --clear "$venv" >"$cache/venv.log" 2>&1; then
    # Debian without python3-venv: virtualenv brings its own pip.
    echo "bootstrap: no venv module; using virtualenv"
    "$python" -m pip install --quiet --disable-pip-version-check --target "$cache/virtualenv" virtualenv
    PYTHONPATH=$cache/virtualenv "$python" -m virtualenv --quiet --clear "$venv"
fi

for requirements in "$@"; do
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: \
        -r "$requirements"
done

# PyInstaller needs libpython as a file.  Debian keeps it in a package of its own: take it from there, unpacked.
version=$("$venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
if ! "$venv/bin/python" build/libpython.py >/dev/null 2>&1; then
    echo "bootstrap: fetching libpython$version (unpacked into $cache, nothing is installed)"
    fetched=$(mktemp -d)
    (cd "$fetched" && apt-get -qq download "libpython$version" >/dev/null)
    dpkg -x "$fetched"/libpython*.deb "$cache/libpython"
    rm -rf "$fetched"
fi
