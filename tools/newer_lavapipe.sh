#!/usr/bin/env bash
# Makes a folder with a newer lavapipe than the system's, and in it `run`, which runs a program on that:
#
#     tools/newer_lavapipe.sh target/newer_lavapipe
#     target/newer_lavapipe/run target/release/ditn devices
#     CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER=$PWD/target/newer_lavapipe/run cargo test --release --test kernels
#
# The driver is the one of Debian 13's backports (Mesa 26 with LLVM 19), which runs kernels nearly twice as fast as
# Debian 12's and has cooperative matrices. It brings its own C library, so nothing of the system is changed. Packages come
# from the archive, and through the proxy, that the machine's own apt is configured with. Needs root, debootstrap and a
# configured archive that has Debian 13, for x86-64; about 700 MiB.
set -euo pipefail

folder=${1:?usage: tools/newer_lavapipe.sh FOLDER}
say() { echo "newer_lavapipe: $*" >&2; }

# The first of apt's archives that has both releases; apt reads sources.list and *.sources for us.
find_mirror() {
    local mirror release index
    index=$(mktemp -d)
    for mirror in $(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | awk '!seen[$0]++'); do
        mirror=${mirror%/}
        for release in trixie trixie-backports; do
            /usr/lib/apt/apt-helper download-file "$mirror/dists/$release/InRelease" "$index/$release" > /dev/null 2>&1 ||
                continue 2
        done
        rm -rf "$index"
        echo "$mirror"
        return
    done
    rm -rf "$index"
    return 1
}

if [ "$(uname -sm)" != "Linux x86_64" ] || [ "$(id -u)" != 0 ]; then
    say "needs root on x86-64 Linux"
    exit 1
fi
command -v debootstrap > /dev/null || apt-get install -y --no-install-recommends debootstrap >&2 || {
    say "needs debootstrap"
    exit 1
}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
driver=usr/lib/x86_64-linux-gnu/libvulkan_lvp.so
stub=usr/lib/x86_64-linux-gnu/libamdgpu_noop_drm_shim.so
if [ ! -e "$folder/root/$driver" ] || [ ! -e "$folder/root/$stub" ]; then
    mirror=$(find_mirror) || {
        say "no archive in apt's configuration has Debian 13 and its backports"
        exit 1
    }
    proxy=
    eval "$(apt-config shell proxy Acquire::http::Proxy)"
    if [ -n "$proxy" ]; then export http_proxy=$proxy; fi
    rm -rf "$folder/root"
    debootstrap --variant=minbase trixie "$folder/root" "$mirror" >&2
    echo "deb $mirror trixie-backports main" >> "$folder/root/etc/apt/sources.list"
    chroot "$folder/root" apt-get update >&2
    chroot "$folder/root" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends -t trixie-backports libvulkan1 mesa-vulkan-drivers mesa-drm-shim >&2
fi
sed 's#"library_path": "[^"]*"#"library_path": "'"$folder/root/$driver"'"#' \
    "$folder/root/usr/share/vulkan/icd.d/lvp_icd.json" > "$folder/icd.json"
cat > "$folder/run" << END
#!/bin/sh
export VK_ICD_FILENAMES='$folder/icd.json'
unset WGPU_BACKEND
exec '$folder/root/lib64/ld-linux-x86-64.so.2' --library-path '$folder/root/usr/lib/x86_64-linux-gnu' "\$@"
END
chmod +x "$folder/run"
say "use $folder/run PROGRAM"
