#!/usr/bin/env bash
# Prints the figures of docs/classic_designs.md: of all its parts, or of those that are named.
#
#   scripts/classic_designs.sh IDUNNO [systems] [workers] [coordinators]
#
# IDUNNO is the program. SYSTEMS, if set, are the scenarios of the first part that are run, all four otherwise.
set -euo pipefail

idunno=$1
shift
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

# The recoveries of a run of SCENARIO with these FLAGS, as recovery.csv has them.
recoveries() {
    rm -rf "$out/run"
    "$idunno" sim "$@" --quiet --out "$out/run" >&2
    tail -n +2 "$out/run/$1/sim/recovery.csv"
}

# Median, least and most of column $2 over the recoveries from fault $1, in seconds. The median is a nearest rank, as on the screen.
figures() {
    awk -F, -v fault="$1" -v column="$2" '$2 == fault && $column != "" { print $column }' | sort -n |
        awk '{ value[NR] = $1 } END { printf "%.2f s, %.2f to %.2f", value[int((NR + 1) / 2)], value[1], value[NR] }'
}

# Workers that may hold more than one query of a long job, about 1.4 s each.
long=(classic_time_shares --set job.0.batch=10 --set job.0.inputs=20000 --set job.1.inputs=1 --set scheduler.policy=even)
# What idunno does unless it is told otherwise.
ours=(--set membership.kind=observers --set membership.heartbeat=50ms --set membership.suspect_after=250ms
    --set membership.evict_after=2s --set failover.mode=log --set dispatch.window=auto --set dispatch.hedge=true)

# From the fault to the next dispatch, in the scenarios as they are shipped.
systems() {
    for scenario in ${SYSTEMS:-classic_query_counts classic_time_shares classic_pull classic_successor}; do
        rows=$(recoveries "$scenario")
        worker=$(figures 0 8 <<<"$rows")
        coordinator=$(figures 1 8 <<<"$rows")
        echo "$scenario: ${worker%%,*}, ${coordinator%%,*}"
    done
}

# Until all that a dead worker held had been given out again. The coordinator dies long before.
workers() {
    at=(--trials 20 --set fault.1.at=20s..60s --set fault.0.at=80s..150s)
    for window in 1 4 16 64; do
        echo "$window held: $(recoveries "${long[@]}" "${at[@]}" --set dispatch.window=$window | figures 0 14)"
    done
    rows=$(recoveries "${long[@]}" "${at[@]}" "${ours[@]}")
    echo "idunno's own: $(figures 0 14 <<<"$rows"); detected: $(figures 0 6 <<<"$rows")"
}

# From the coordinator's death to the next dispatch, by how many queries were left. The worker dies long after.
coordinators() {
    at=(--trials 40 --set fault.1.at=10s..270s --set fault.0.at=300s..310s)
    for design in classic own; do
        if [ $design = classic ]; then flags=(); else flags=("${ours[@]}"); fi
        rows=$(recoveries "${long[@]}" "${at[@]}" "${flags[@]}" | awk -F, '$2 == 1' | sort -t, -k13,13n)
        third=$((($(wc -l <<<"$rows") + 2) / 3))
        for part in 1 2 3; do
            some=$(tail -n +$(((part - 1) * third + 1)) <<<"$rows" | head -n $third)
            left=$(cut -d, -f13 <<<"$some" | sed -n '1p;$p' | paste -sd- | sed 's/-/ to /')
            median=$(figures 1 8 <<<"$some")
            echo "$design, $left left: ${median%%,*}"
        done
    done
}

for part in "${@:-all}"; do
    if [ "$part" = all ]; then
        systems
        workers
        coordinators
    else
        "$part"
    fi
done
