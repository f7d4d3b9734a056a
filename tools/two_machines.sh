#!/usr/bin/env bash
# Runs a command as two MPI ranks on two stand-ins for machines: network namespaces with names of their own and one link of
# this rate between them. Needs root, iproute2 and Open MPI.
#
#   tools/two_machines.sh 100mbit target/release/ditn train --out /tmp/run
#   CORES="0 1" tools/two_machines.sh 1gbit ...       rank 0 on core 0, rank 1 on core 1
set -euo pipefail

if [ $# -lt 2 ]; then
    sed -n '2,6s/^# \{0,1\}//p' "$0"
    exit 2
fi
rate=$1
shift
name=ditn$$
agent=$(mktemp)
end() {
    rm -f "$agent"
    ip netns del "${name}a" 2> /dev/null || true
    ip netns del "${name}b" 2> /dev/null || true
}
trap end EXIT
trap 'exit 130' INT TERM

# Two machines and a cable: what leaves either end keeps to the rate.
for machine in a b; do ip netns add "$name$machine"; done
ip link add "$name-a" netns "${name}a" type veth peer name "$name-b" netns "${name}b"
number=1
for machine in a b; do
    inside() { ip netns exec "$name$machine" "$@"; }
    inside ip addr add "10.83.0.$number/24" dev "$name-$machine"
    inside ip link set "$name-$machine" up
    inside ip link set lo up
    inside tc qdisc add dev "$name-$machine" root tbf rate "$rate" burst 128kb latency 5ms
    number=2
done

# mpirun starts its daemon on the other machine by a remote shell: HOST COMMAND.
cat > "$agent" << EOF
#!/usr/bin/env bash
shift
exec ip netns exec ${name}b unshare --uts sh -c 'hostname machine-b; eval "\$*"' sh "\$@"
EOF
chmod +x "$agent"

read -r -a cores <<< "${CORES:-}"
pinned() { if [ -n "${cores[$1]:-}" ]; then echo "taskset -c ${cores[$1]}"; fi; }
network=(--mca btl tcp,self --mca btl_tcp_if_include 10.83.0.0/24 --mca oob_tcp_if_include 10.83.0.0/24)
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# The words of pinned are to be split.
# shellcheck disable=SC2046
ip netns exec "${name}a" unshare --uts sh -c 'hostname machine-a; exec "$@"' sh \
    mpirun --mca plm_rsh_agent "$agent" "${network[@]}" --mca pml ob1 --bind-to none --wdir "$PWD" ${DITN_DATA:+-x DITN_DATA} \
    -n 1 --host 10.83.0.1 $(pinned 0) "$@" : -n 1 --host 10.83.0.2 $(pinned 1) "$@"
