#!/bin/sh
# What the protocol shall reach, measured in simulation: one table, printed and in DIR/targets.csv.
#
#     scenarios/targets/measure.sh IDUNNO DIR [PART...]
#
# IDUNNO is the program, DIR a folder such as results. Parts, in the order of the table:
#
#     failover             workers, engines and coordinators die, are cut off, or leave
#     partial              some links are down, and a coordinator is needed all the same
#     messages, large      how many messages are sent while nothing happens, in small and in large clusters
#     starved              some machines get no processor time
#     evictions            nodes pause and messages are lost for 500 node-days, seeds 1 to 1200: by far the longest part
#     evictions:1-240      ... some of these seeds only, which is how it can be done in pieces, also side by side
#     speed                ten thousand nodes on one core; the only part that depends on the machine
#     table                nothing is measured; the table of what is there is printed
#     page                 likewise, and it is put into docs/targets.md
#
# Without a part, all are measured that were not yet. DIR/targets keeps the rows of each part and what came of each seed, so that
# a run that was stopped goes on where it was. When the protocol or the simulator has changed since, that folder is moved
# out of the way, and everything is measured anew. THREADS=1 leaves the other cores alone. QUICK=1 makes a few trials of each, to see that it works;
# it never counts as done.
set -eu
if [ $# -lt 2 ]; then
    echo "usage: $0 IDUNNO DIR [PART...]" >&2
    exit 2
fi
idunno=$1 dir=$2
shift 2
here=$(dirname "$0")
page=$here/../../docs/targets.md
kept=$dir/targets${QUICK:+-quick}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
order='failover partial messages large starved evictions speed'
columns='what,scenario,n,p50_ms,p99_ms,p999_ms,result,target,verdict,loss,fsync,pauses,node_days'
fsync='p50 4 ms; p99 8 ms'

# Runs some trials of a scenario file and keeps all that is known of them. $runs is where.
run() { # file, trials, option...
    file=$1 trials=$2
    shift 2
    if [ "${QUICK:-}" ] && [ "$trials" -gt 5 ]; then trials=5; fi
    runs=$work/$(basename "$file" .toml)
    "$idunno" sim "$file" --trials "$trials" --threads "${THREADS:-$(nproc)}" --out "$work" --quiet "$@"
}

# Likewise as a sweep of one point, which keeps the metrics of each trial and no history.
sweep() { # scenario, trials, setting=value, option...
    name=$1 trials=$2 setting=$3
    shift 3
    run "$here/$name.toml" "$trials" --sweep "$setting" "$@"
    runs=$runs/sweep/runs.csv
}

row() { # what, scenario, n, p50, p99, p99.9, result, target, 1 when it is met, loss, pauses, node-days
    verdict=missed
    if [ "$9" = 1 ]; then verdict=met; fi
    what=$1 scenario=$2 n=$3 p50=$4 p99=$5 p999=$6 result=$7 target=$8
    shift 9
    echo "$what,$scenario,$n,$p50,$p99,$p999,$result,$target,$verdict,$1,$fsync,$2,$3" >> "$rows"
}

column() { # name, or a pattern of names whose columns are added
    awk -F, -v name="^($1)\$" '
        NR == 1 { for (i = 1; i <= NF; i++) if ($i ~ name) of[i] = 1; next }
        { sum = ""; for (i in of) if ($i != "") sum += $i; print sum }' "$runs"
}

# A key of a scenario file that is a number, perhaps with a unit of seconds.
key() { sed -n "s/^$2 = \"\{0,1\}\([0-9]*\).*/\1/p" "$here/$1.toml"; }

node_days() { # runs, nodes, seconds
    awk -v runs="$1" -v nodes="$2" -v seconds="$3" 'BEGIN { printf "%.3g", runs * nodes * seconds / 86400 }'
}

# The times until work is dispatched again after a fault of this kind, one per trial. What never came took for ever. Of less than 662
# there is no p99, of less than 6,700 no p99.9.
delays() { # what, scenario, kind of fault, bounds: percentile:milliseconds ...
    column "recovery\.$3\.redispatch_s" | awk '{ print $1 == "" ? 1e9 : $1 }' | sort -n > "$work/delays"
    set -- "$1" "$2" "$4" "$(awk -v bounds="$4" '
        { all[NR] = $1 * 1000 }
        function at(share) { return all[int((NR * share * 10 + 999) / 1000)] }
        function shown(share, least) { return NR < least ? "-" : at(share) >= 1e9 ? "never" : sprintf("%.0f", at(share)) }
        END {
            least[50] = 1; least[99] = 662; least[99.9] = 6700
            met = 1
            of = split(bounds, each, " ")
            for (i = 1; i <= of; i++) {
                split(each[i], bound, ":")
                if (NR < least[bound[1]] || at(bound[1]) >= bound[2]) met = 0
                target = target (i > 1 ? "; " : "") "p" bound[1] " < " bound[2]
            }
            print NR, shown(50, 1), shown(99, 662), shown(99.9, 6700), met, target " ms"
        }' "$work/delays")"
    what=$1 scenario=$2
    set -- $4
    n=$1 p50=$2 p99=$3 p999=$4 met=$5
    shift 5
    row "$what" "$scenario" "$n" "$p50" "$p99" "$p999" '' "$*" "$met" '1 %' none \
        "$(node_days "$n" "$(key "$scenario" nodes)" "$(key "$scenario" until)")"
}

part_failover() {
    sweep worker_kill 700 network.loss=1%
    delays 'worker killed: its work dispatched again' worker_kill crash 99:500
    sweep engine_death 700 network.loss=1%
    delays 'engine died; six workers in ten busy' engine_death engine_death 99:50
    sweep engine_death_busy 700 network.loss=1%
    delays 'engine died; every worker full' engine_death_busy engine_death 99:50
    sweep coordinator_kill 6700 network.loss=1%
    delays 'coordinator killed: dispatch goes on' coordinator_kill crash '50:400 99:1000 99.9:1500'
    sweep one_way_cut 700 fault.0.direction=in
    delays 'coordinator hears nobody' one_way_cut cut 99:1500
    sweep one_way_cut 700 fault.0.direction=out
    delays 'nobody hears the coordinator' one_way_cut cut 99:1500
    sweep handover 700 network.loss=1%
    delays 'coordinator leaves on purpose' handover leave 99:100
}

# While some links are down, from 10 s to 25 s: the longest time in which nothing was counted, and how often somebody was elected.
part_partial() {
    for case in quorum_loss constrained chained; do
        run "$here/../partial_$case.toml" 30
        gap=$(sort -t, -k1,1n -k10,10n "$runs/sim/queries.csv" | awk -F, '
            $1 == "trial" || $10 == "" { next }
            $1 == trial && $10 > 10 && last < 25 && $10 - last > gap { gap = $10 - last }
            { trial = $1; last = $10 }
            END { printf "%.0f", gap * 1000 }')
        elections=$(awk -F, '$4 == "led" && $2 >= 10 && $2 < 25 { if (++of[$1] > most) most = of[$1] } END { print most + 0 }' \
            "$runs/sim/membership.csv")
        trials=$(awk -F, '$1 != "trial" && !seen[$1]++ { n++ } END { print n }' "$runs/sim/queries.csv")
        row "some links down: $(echo "$case" | tr _ ' ')" "partial_$case" "$trials" '' '' '' \
            "longest gap $gap ms; at most $elections elected" 'gap < 1500 ms; at most 2 elected' \
            "$([ "$gap" -lt 1500 ] && [ "$elections" -le 2 ] && echo 1 || echo 0)" 'some links' none "$(node_days "$trials" 5 15)"
    done
}

messages() { # scenario, nodes, bound
    sweep "$1" 2 nodes="$2"
    set -- "$1" "$2" "$3" "$(column 'messages_(membership|log)_per_node_s' | awk '{ sum += $1 } END { printf "%.1f", sum / NR }')"
    suffix=
    if [ "$1" = eco ]; then suffix=' that spare the network'; fi
    row "messages a second and node; $2 nodes$suffix" "$1" 2 '' '' '' "$4" "<= $3" \
        "$(awk -v a="$4" -v b="$3" 'BEGIN { print (a <= b) }')" '1 %' none "$(node_days 2 "$2" "$(key "$1" until)")"
}

# What the leader alone sends in ten seconds, counted in the trace.
leader() { # nodes
    set -- "$1" "$("$idunno" sim "$here/quiet.toml" --set nodes="$1" --trace --kind election --until 1s 2>/dev/null |
        awk '/is elected and leads/ { print $2; exit }')"
    sent=$("$idunno" sim "$here/quiet.toml" --set nodes="$1" --trace --kind heartbeat,log,membership,survey --node "$2" \
        --from 1s --until 11s 2>/dev/null |
        awk '/→ / { gsub(/\([^)]*\)/, ""); sub(/.*→ /, ""); sub(/  .*/, ""); sent += split($0, to, " ") }
            END { printf "%.1f", sent / 10 }')
    row "messages a second of the leader; $1 nodes" quiet 1 '' '' '' "$sent" '<= 240; N more an announcement' \
        "$(awk -v a="$sent" 'BEGIN { print (a > 0 && a <= 240) }')" '1 %' none "$(node_days 1 "$1" 10)"
}

part_messages() {
    for nodes in 3 5 6 7 10; do messages quiet "$nodes" 120; done
    leader 10
    messages eco 10 20
}

part_large() {
    for nodes in 100 1000; do messages quiet "$nodes" 120; done
    leader 1000
}

# They starve from 3 s to 18 s; what comes after is not counted in node-days.
part_starved() {
    sweep ../starved_few 30 network.loss=1%
    n=$(column makespan_s | wc -l)
    evicted=$(column false_evictions | awk '{ sum += $1 } END { print sum + 0 }')
    suspected=$(column false_suspicions | awk '{ sum += $1 } END { print sum + 0 }')
    row '40 of 1000 machines starved for 15 s' starved_few "$n" '' '' '' \
        "$evicted healthy ones evicted; $suspected suspected" 'no healthy one evicted' "$([ "$evicted" = 0 ] && echo 1 || echo 0)" \
        '1 %' starving "$(node_days "$n" 1000 18)"
}

# Evictions of nodes that only paused. A seed is an hour of ten nodes; $kept/seeds.csv holds what came of each.
evictions() { # first seed, last seed
    seeds=$kept/seeds.csv
    cp "$here/pauses.toml" "$work/pauses.toml"
    awk 'BEGIN { for (minute = 0; minute < 60; minute++) for (node = 1; node <= 10; node++)
        printf "\n[[fault]]\nat = \"%ds..%dms\"\nkind = \"pause\"\ntarget = \"node %d\"\nfor = \"0s..1500ms\"\n",
            minute * 60, minute * 60000 + 53500, node }' >> "$work/pauses.toml"
    seed=$1
    while [ "$seed" -le "$2" ]; do
        # Up to 24 seeds in a row that are still to be done.
        count=0
        while [ "$count" -lt 24 ] && [ $((seed + count)) -le "$2" ] && ! grep -qs "^$((seed + count))," "$seeds"; do
            count=$((count + 1))
        done
        if [ "$count" = 0 ]; then
            seed=$((seed + 1))
            continue
        fi
        run "$work/pauses.toml" "$count" --seed "$seed"
        awk -F, -v seed="$seed" -v count="$count" '
            $4 == "evicted" { evicted[$1]++ }
            $4 == "suspected" { suspected[$1]++ }
            END { for (trial = 0; trial < count; trial++) print seed + trial "," evicted[trial] + 0 "," suspected[trial] + 0 }' \
            "$runs/sim/membership.csv" >> "$seeds"
        rm -rf "$runs"
        seed=$((seed + count))
    done
    # Everything that was done up to now makes the row. None in n node-days: less than 3/n a node-day, with 95 % confidence.
    rows=$kept/evictions.csv
    : > "$rows"
    set -- $(sort -t, -u -k1,1n "$seeds" | awk -F, '
        { evicted += $2; suspected += $3 }
        END {
            days = NR * 10 / 24; n = evicted + 1
            most = evicted ? n * (1 - 1 / (9 * n) + 1.6449 / (3 * sqrt(n))) ^ 3 : 2.9957
            printf "%d %d %d %.4f %.2f %d", NR, evicted, suspected, most / days, days, (evicted == 0 && days >= 499.9)
        }')
    row 'evictions of nodes that pause' pauses "$1" '' '' '' "$2 evicted (95 %: <= $4 a node-day); $3 suspected" \
        'none in 500 node-days' "$6" '5 %' '1 a minute; 0 to 1.5 s' "$5"
}

# Processor time is told, so that others at work on the machine make no difference. A subshell would know only of its own programs.
part_speed() {
    times > "$work/before"
    "$idunno" sim "$here/ten_thousand.toml" --threads 1 --trials 1 --out "$work" --quiet
    times > "$work/after"
    # The repetition of trial 0, which every run has, is a second ten seconds.
    took=$(cat "$work/before" "$work/after" | awk '
        NR % 2 == 0 { for (i = 1; i <= 2; i++) { split($i, of, "m"); sum[NR] += of[1] * 60 + of[2] } }
        END { printf "%.1f", sum[4] - sum[2] }')
    row '10000 nodes for 2 x 10 s on one core' ten_thousand 2 '' '' '' "$took s" '<= 20 s' \
        "$(awk -v a="$took" 'BEGIN { print (a <= 20) }')" \
        '1 %' none "$(node_days 2 10000 10)"
}

# What the figures hang on: the bytes of a few trials. They change with the protocol and the simulator, and with nothing else.
stamp() {
    for name in coordinator_kill engine_death one_way_cut; do
        "$idunno" sim "$here/$name.toml" --trials 2 --threads 1 --out "$work/stamp" --quiet
        cat "$work/stamp/$name/sim/recovery.csv" "$work/stamp/$name/sim/queries.csv" "$work/stamp/$name/sim/membership.csv"
    done | cksum | tr ' ' -
}

gather() {
    echo "$columns"
    for part in $order; do
        if [ -s "$kept/$part.csv" ]; then cat "$kept/$part.csv"; fi
    done
}

show() {
    awk -F, '
        function or_none(text) { return text == "" ? "-" : text }
        NR == 1 { next }
        {
            result = $7
            if ($4 != "") result = $4 " / " or_none($5) " / " or_none($6) " ms"
            line(++rows, $1, $2, $3, result, $8, $9, $10, $12, $13)
            missed += $9 != "met"
        }
        function line(at, what, scenario, n, result, target, verdict, loss, pauses, days) {
            cell[at, 1] = what; cell[at, 2] = scenario; cell[at, 3] = n; cell[at, 4] = result; cell[at, 5] = target
            cell[at, 6] = verdict; cell[at, 7] = loss; cell[at, 8] = pauses; cell[at, 9] = days
            for (i = 1; i <= 9; i++) if (length(cell[at, i]) > width[i]) width[i] = length(cell[at, i])
        }
        END {
            line(0, "what", "scenario", "n", "p50 / p99 / p99.9", "target", "verdict", "loss", "pauses", "node-days")
            for (at = 0; at <= rows; at++) {
                text = ""
                for (i = 1; i <= 9; i++)
                    text = text sprintf((i == 3 || i == 9) ? "%" width[i] "s" : "%-" width[i] "s", cell[at, i]) (i < 9 ? "  " : "")
                print text
            }
            printf "\n%d of %d met. One write to disk takes 4 ms (p50), 8 ms (p99).\n", rows - missed, rows
        }'
}

mkdir -p "$kept"
now=$(stamp)
if [ -s "$kept/stamp" ] && [ "$(cat "$kept/stamp")" != "$now" ]; then
    aside=$kept-$(cat "$kept/stamp")
    rm -rf "$aside"
    mv "$kept" "$aside"
    mkdir -p "$kept"
    echo "The protocol has changed: what was measured before is in $aside now." >&2
fi
echo "$now" > "$kept/stamp"

for part in ${*:-$order}; do
    rows=$kept/$part.csv
    case $part in
        evictions) if [ "${QUICK:-}" ]; then evictions 1 2; else evictions 1 1200; fi ;;
        evictions:*-*)
            range=${part#evictions:}
            evictions "${range%-*}" "${range#*-}"
            ;;
        failover | partial | messages | large | starved | speed)
            if [ ! -s "$rows" ] || [ $# -gt 0 ]; then
                rows=$work/rows
                : > "$rows"
                "part_$part"
                mv "$rows" "$kept/$part.csv"
            fi
            ;;
        table | page) ;;
        *)
            echo "$0: there is no part \"$part\"; there are $order, table and page" >&2
            exit 2
            ;;
    esac
done

gather > "$work/table.csv"
cp "$work/table.csv" "$dir/targets${QUICK:+-quick}.csv"
show < "$work/table.csv"
case " $* " in
    *' page '*)
        # All but what depends on the machine.
        grep -v ,ten_thousand, "$work/table.csv" | show > "$work/shown"
        awk -v shown="$work/shown" '
            /^```/ && inside { inside = 0 }
            !inside { print }
            /^```text/ { inside = 1; while ((getline line < shown) > 0) print line }' "$page" > "$work/page"
        cp "$work/page" "$page"
        ;;
esac
