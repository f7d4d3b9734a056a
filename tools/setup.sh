#!/usr/bin/env bash
# Makes sure that there is a Vulkan driver: where a Debian-like machine has none, installs lavapipe, Mesa's software
# driver, with apt-get (through sudo unless root). Does nothing where there is a driver already, and nothing on systems
# that bring their own interface (macOS, Windows).
#
# With --browsers also node, npm, Firefox and Chromium where they are missing, for the tests of the pages (web/tests).
# With --mpi also what `cargo build --features mpi` needs: Open MPI with its headers, unless there is an MPI already, and
# libclang, with which Rust's bindings to it are made.
set -euo pipefail

say() { echo "setup: $*" >&2; }

# Installs "${packages[@]}".
install_packages() {
    local as_root=()
    if [ "$(id -u)" != 0 ]; then
        command -v sudo >/dev/null || { say "installing needs root: run as root or install sudo"; exit 1; }
        as_root=(sudo)
    fi
    install() {
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}" >&2
    }
    # The list of packages may be missing or old: fetch it where installing fails, not always.
    install || { "${as_root[@]}" apt-get update >&2 && install; }
}

browsers=false mpi=false
for option in "$@"; do
    case "$option" in
        --browsers) browsers=true ;;
        --mpi) mpi=true ;;
        *) say "unknown option '$option'; there are --browsers and --mpi"; exit 2 ;;
    esac
done

# Installs "${packages[@]}", if there are any, for a purpose.
install_for() {
    [ "${#packages[@]}" -gt 0 ] || return 0
    command -v apt-get >/dev/null || { say "no apt-get to install ${packages[*]} with, for $1"; exit 1; }
    say "installing ${packages[*]} with apt-get, for $1"
    install_packages
}

if $browsers && [ "$(uname -s)" = Linux ]; then
    packages=()
    for program in node:nodejs npm:npm firefox-esr:firefox-esr chromium:chromium; do
        command -v "${program%:*}" >/dev/null || packages+=("${program#*:}")
    done
    install_for "the tests of the pages"
fi

# Where the libclang is that bindgen finds by itself, if anywhere.
libclang() {
    compgen -G "${LIBCLANG_PATH:-/nowhere}/libclang*.so*" || compgen -G "/usr/lib/llvm-*/lib/libclang*.so*" ||
        compgen -G "/usr/lib*/libclang*.so*"
}

if $mpi && [ "$(uname -s)" = Linux ]; then
    packages=()
    # mpicc comes with the headers, mpirun without them.
    command -v mpicc >/dev/null || packages+=(libopenmpi-dev)
    command -v mpirun >/dev/null || packages+=(openmpi-bin)
    libclang >/dev/null || packages+=(libclang-dev)
    install_for "the feature mpi"
fi

if [ "$(uname -s)" != Linux ]; then
    say "$(uname -s) brings its own GPU interface; nothing to do"
    exit 0
fi

# The library that a driver's ICD file names, as a path or as a name for the dynamic linker.
library_of() { sed -n 's/.*"library_path"[[:space:]]*:[[:space:]]*"\([^"]*\)".*/\1/p' "$1" | head -n 1; }

library_exists() {
    case "$1" in
        "") return 1 ;;
        /*) [ -e "$1" ] ;;
        */*) [ -e "$(dirname "$2")/$1" ] ;;
        *) ldconfig -p 2>/dev/null | grep -qF "$1" || [ -e "/usr/lib/$(uname -m)-linux-gnu/$1" ] ;;
    esac
}

# Whether a render node of that PCI vendor is here (any vendor without one).
render_node() {
    local node
    for node in /sys/class/drm/renderD*; do
        [ -e "$node" ] || continue
        if [ $# = 0 ] || [ "$(cat "$node/device/vendor" 2>/dev/null)" = "$1" ]; then return 0; fi
    done
    return 1
}

# Whether the hardware that a driver is for is here. Drivers of GPUs are often installed where there is no such GPU.
hardware_exists() {
    case "$(basename "$1")" in
        lvp_* | *swiftshader*) return 0 ;;
        nvidia_*) [ -e /dev/nvidiactl ] || [ -e /dev/dxg ] ;;
        intel_*) render_node 0x8086 ;;
        radeon_* | amd_*) render_node 0x1002 ;;
        nouveau_*) render_node 0x10de ;;
        dzn_*) [ -e /dev/dxg ] ;;
        *) render_node ;;
    esac
}

# A driver that can be expected to give an adapter, if any.
working_driver() {
    local icd
    local listed=${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}}
    if [ -n "$listed" ]; then
        local IFS=:
        set -- $listed
    else
        set -- /etc/vulkan/icd.d/*.json /usr/local/share/vulkan/icd.d/*.json /usr/share/vulkan/icd.d/*.json
    fi
    for icd in "$@"; do
        [ -f "$icd" ] || continue
        if hardware_exists "$icd" && library_exists "$(library_of "$icd")" "$icd"; then
            echo "$icd"
            return 0
        fi
    done
    return 1
}

loader_exists() { ldconfig -p 2>/dev/null | grep -qF libvulkan.so.1; }

# ldconfig is in a folder that is not in every user's PATH.
PATH=$PATH:/usr/sbin:/sbin
if loader_exists && driver=$(working_driver); then
    say "found the Vulkan driver $driver; nothing to do"
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    say "no Vulkan driver found, and no apt-get to install one with"
    say "install Mesa's software driver (lavapipe) or your GPU's driver with this system's package manager"
    exit 1
fi

packages=(libvulkan1 mesa-vulkan-drivers)
say "no Vulkan driver found; installing ${packages[*]} with apt-get"
install_packages
if loader_exists && driver=$(working_driver); then
    say "installed $driver"
else
    say "the packages are installed, but no Vulkan driver was found in them"
    exit 1
fi
