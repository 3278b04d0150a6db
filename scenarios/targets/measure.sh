#!/bin/sh
# What the protocol shall reach, measured in simulation: one table, and the same as CSV.
#
#     scenarios/targets/measure.sh target/release/idunno results/targets.csv [quick]
#
# quick runs a few trials of each, to see that it works; percentiles of so few are the slowest trial.
set -eu
idunno=$1 table=$2 quick=${3:-}
here=$(dirname "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$(dirname "$table")"
echo 'target,wanted,reached,n,conditions,verdict,wall_s' > "$table"

# A row: target, wanted, reached, n, conditions, and 1 when it was reached.
row() {
    verdict=missed
    if [ "$6" = 1 ]; then verdict=reached; fi
    echo "\"$1\",\"$2\",\"$3\",$4,\"$5\",$verdict,$(($(date +%s) - began))" >> "$table"
    printf '%-42s %-12s %-22s %8s  %-8s %s\n' "$1" "$2" "$3" "$4" "$verdict" "$5"
}

# Runs a scenario as a sweep of one point, which keeps the metrics of each trial and no history.
sweep() { # file, trials, setting...
    file=$1 trials=$2
    shift 2
    began=$(date +%s)
    if [ "$quick" ]; then trials=$((trials < 5 ? trials : 5)); fi
    set -- "$@"
    "$idunno" sim "$here/$file.toml" --trials "$trials" --out "$work" --quiet "$@"
    runs=$work/$file/sweep/runs.csv
}

# The sample of that rank among those of a column of runs.csv; a trial without one took for ever, which is written as 1e9.
percentile() { # column, per mille
    awk -F, -v name="$1" -v per_mille="$2" '
        NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) column = i; next }
        { print (column && $column != "") ? $column : 1e9 }' "$runs" | sort -n |
        awk -v per_mille="$2" '{ all[NR] = $1 } END {
            rank = int((NR * per_mille + 999) / 1000); print all[rank < 1 ? 1 : rank] }'
}

count() { awk 'END { print NR - 1 }' "$runs"; }

# One percentile of the time until work is dispatched again, against its bound in seconds.
delay() { # target, kind of fault, per mille, bound, conditions
    reached=$(percentile "recovery.$2.redispatch_s" "$3")
    ok=$(awk -v a="$reached" -v b="$4" 'BEGIN { print (a < b) ? 1 : 0 }')
    shown=$(awk -v a="$reached" 'BEGIN { if (a >= 1e9) print "never"; else printf "%.0f ms", a * 1000 }')
    row "$1" "< $(awk -v b="$4" 'BEGIN { printf "%.0f ms", b * 1000 }')" "$shown" "$(count)" "$5" "$ok"
}

# Messages of membership and log per node and second, against their bound.
messages() { # target, bound, conditions
    reached=$(awk -F, '
        NR == 1 { for (i = 1; i <= NF; i++) if ($i ~ /^messages_(membership|log)_per_node_s$/) of[i] = 1; next }
        { for (i in of) sum += $i } END { printf "%.1f", sum / (NR - 1) }' "$runs")
    row "$1" "<= $2" "$reached" "$(count)" "$3" "$(awk -v a="$reached" -v b="$2" 'BEGIN { print (a <= b) ? 1 : 0 }')"
}

usual='10 nodes, 1 % loss, sync p99 8 ms'
sweep worker_kill 700 --sweep network.loss=1%
delay 'worker killed, dispatched again, p99' crash 990 0.5 "$usual"
sweep engine_death 700 --sweep network.loss=1%
delay 'engine died, dispatched again, p99' engine_death 990 0.05 "$usual, 6 workers in 10 busy"
sweep engine_death_busy 700 --sweep network.loss=1%
delay 'the same where all workers are busy, p99' engine_death 990 0.05 "$usual, all busy"
sweep coordinator_kill 6700 --sweep network.loss=1%
delay 'coordinator killed, dispatched again, p50' crash 500 0.4 "$usual"
delay 'coordinator killed, dispatched again, p99' crash 990 1 "$usual"
delay 'coordinator killed, dispatched again, p99.9' crash 999 1.5 "$usual"
sweep one_way_cut 700 --sweep 'fault.0.direction=in'
delay 'coordinator hears nobody, p99' cut 990 1.5 "$usual"
sweep one_way_cut 700 --sweep 'fault.0.direction=out'
delay 'nobody hears the coordinator, p99' cut 990 1.5 "$usual"
sweep handover 700 --sweep network.loss=1%
delay 'planned handover, dispatched again, p99' leave 990 0.1 "$usual"
for nodes in 3 5 10 100 1000; do
    sweep quiet 2 --sweep "nodes=$nodes"
    messages "messages per node and second, $nodes nodes" 120 'no work, 1 % loss'
done
sweep eco 2 --sweep nodes=10
messages 'messages with the settings of eco, 10 nodes' 20 'no work, 1 % loss'

# Evictions of nodes that only paused: an hour of ten nodes at a time, until there were 500 node-days.
began=$(date +%s) hours=1200 batch=24
if [ "$quick" ]; then hours=2 batch=2; fi
cp "$here/pauses.toml" "$work/pauses.toml"
awk 'BEGIN { for (minute = 0; minute < 60; minute++) for (node = 1; node <= 10; node++)
    printf "\n[[fault]]\nat = \"%ds..%dms\"\nkind = \"pause\"\ntarget = \"node %d\"\nfor = \"0s..1500ms\"\n",
        minute * 60, minute * 60000 + 53500, node }' >> "$work/pauses.toml"
evicted=0 done=0
while [ "$done" -lt "$hours" ]; do
    "$idunno" sim "$work/pauses.toml" --trials "$batch" --seed $((1 + done)) --out "$work" --quiet
    evicted=$((evicted + $(grep -c ',evicted,' "$work/pauses/sim/membership.csv" || true)))
    done=$((done + batch))
done
days=$(awk -v hours="$done" 'BEGIN { printf "%.1f", hours * 10 / 24 }')
most=$(awk -v n="$evicted" -v days="$days" 'BEGIN { printf "%.3f", (n ? n + 2 * sqrt(n) + 2 : 2.9957) / days }')
row 'evictions of nodes that pause' 'none' "$evicted (<= $most/node-day)" "$done" \
    "$days node-days, 5 % loss, a pause per node and minute up to 1.5 s" "$([ "$evicted" = 0 ] && echo 1 || echo 0)"

# The repetition of trial 0, which every run has, is a second ten seconds.
began=$(date +%s)
"$idunno" sim "$here/ten_thousand.toml" --threads 1 --trials 1 --out "$work" --quiet
took=$(($(date +%s) - began))
row '10,000 nodes for 2 x 10 s on one core' '<= 20 s' "$took s" 2 'no work, 1 % loss; wall time' "$([ "$took" -le 20 ] && echo 1 || echo 0)"
