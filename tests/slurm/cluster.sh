#!/bin/bash
# A real Slurm of several virtual nodes on this machine, without systemd, for tests and for trying things out:
#
#   tests/slurm/cluster.sh start DIR [PORT]     everything it writes is in DIR; it takes ports from PORT (16817) on
#   eval "$(tests/slurm/cluster.sh env DIR)"    then sbatch, squeue and the others speak to it
#   tests/slurm/cluster.sh stop DIR             ends only what it started
#   tests/slurm/cluster.sh controller DIR stop|start
#   tests/slurm/cluster.sh node DIR NAME kill|freeze|start     kill takes its jobs along; freeze is a daemon that hangs
#
# Needs the packages slurm-wlm and munge (Debian, Ubuntu). NODES, CPUS and GPUS say how large it is (the processors and
# GPUs need not exist), TIMEOUT after how many seconds of silence a node is down. Partitions: main, whose jobs `high` preempts and requeues, and `short`, whose jobs `high` cancels.
set -eu

fail() { echo "error: $*" >&2; exit 1; }

[ $# -ge 2 ] || { sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 2; }
verb=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)
shift 2
PATH=$PATH:/usr/sbin:/sbin
export SLURM_CONF=$dir/slurm.conf
host=$(hostname -s)

configure() {
    local port=$1 nodes=$2 cpus=$3 gpus=$4 gres="" i
    mkdir -p "$dir"/{log,run,state,spool,munge}
    chmod 755 "$dir"
    chmod 711 "$dir/munge"
    (umask 077 && head -c 1024 /dev/urandom >"$dir/munge/key")
    echo "$nodes" >"$dir/nodes"
    if [ "$gpus" -gt 0 ]; then
        # Twins of /dev/null stand in for GPUs.
        for ((i = 0; i < gpus; i++)); do [ -e "$dir/gpu$i" ] || mknod "$dir/gpu$i" c 1 3; done
        local last=$((gpus - 1))
        echo "NodeName=n[1-$nodes] Name=gpu File=$dir/gpu[0-$last]" | sed 's/\[0-0\]/0/' >"$dir/gres.conf"
        gres="Gres=gpu:$gpus"
    fi
    cat >"$SLURM_CONF" <<E
ClusterName=rheo
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket,cred_expire=5
CredType=cred/munge
SlurmctldPort=$port
SlurmctldPidFile=$dir/run/slurmctld.own
SlurmdPidFile=$dir/run/%n.own
SlurmctldLogFile=$dir/log/slurmctld.log
SlurmdLogFile=$dir/log/%n.log
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
# After so many seconds a node that is silent is down; after SIGTERM jobs have 8 s, less than most sites give.
SlurmdTimeout=${TIMEOUT:-10}
KillWait=8
SlurmctldTimeout=10
InactiveLimit=0
MessageTimeout=10
TCPTimeout=2
MinJobAge=300
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
${gres:+GresTypes=gpu}
E
    for ((i = 1; i <= nodes; i++)); do
        mkdir -p "$dir/spool/n$i"
        echo "NodeName=n$i NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + i)) CPUs=$cpus RealMemory=4096 State=UNKNOWN $gres"
    done >>"$SLURM_CONF"
    cat >>"$SLURM_CONF" <<E
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE DefaultTime=60 PriorityTier=1 PreemptMode=REQUEUE
PartitionName=short Nodes=ALL MaxTime=10 DefaultTime=5 PriorityTier=1 PreemptMode=CANCEL GraceTime=8
PartitionName=high Nodes=ALL MaxTime=INFINITE DefaultTime=60 PriorityTier=10 PreemptMode=OFF
E
}

# Runs a program in the background, in a session of its own, and remembers it by its process id and its start time.
daemon() {
    local name=$1
    shift
    setsid "$@" </dev/null >>"$dir/log/$name.out" 2>&1 &
    started "$!" >"$dir/run/$name"
}
# A process id and the start time of the process, unless it is dead and only waits for its parent.
started() {
    local stat
    stat=$(cut -d' ' -f3,22 "/proc/$1/stat" 2>/dev/null) || return 0
    [ "${stat% *}" = Z ] || echo "$1 ${stat#* }"
}
pid_of() {
    local pid since
    read -r pid since 2>/dev/null <"$dir/run/$1" || return 1
    [ "$(started "$pid")" = "$pid $since" ] && echo "$pid"
}
finish() { # NAME SIGNAL: and waits until it is gone
    local pid
    pid=$(pid_of "$1") || return 0
    kill -"$2" "$pid" 2>/dev/null || return 0
    kill -CONT "$pid" 2>/dev/null || true
    for _ in $(seq 200); do
        pid_of "$1" >/dev/null || return 0
        sleep 0.05
    done
    kill -KILL "$pid" 2>/dev/null || true
}
wait_until() { # SECONDS COMMAND...
    local rounds=$(($1 * 20))
    shift
    for ((; rounds > 0; rounds--)); do
        if timeout 5 "$@" >/dev/null 2>&1; then return 0; fi
        sleep 0.05
    done
    return 1
}
controller() { daemon slurmctld slurmctld -D -f "$SLURM_CONF"; }
node() { RHEO_TEST_NODE=$1 daemon "$1" slurmd -D -N "$1" -f "$SLURM_CONF"; }
nodes() { seq -f 'n%g' "$(cat "$dir/nodes")"; }
ready() { [ "$(sinfo -h -N -p main -o %t | grep -cE '^(idle|mix|alloc|comp)$')" = "$(cat "$dir/nodes")" ]; }
come_up() { for _ in $(seq 600); do if ready; then return 0; fi; sleep 0.05; done; return 1; }
# Processes of jobs, of one node or of all: the daemon of a job inherits the environment of its node's.
jobs_of() {
    local environment
    for environment in /proc/[0-9]*/environ; do
        { tr '\0' '\n' <"$environment"; } 2>/dev/null | grep -qxE "(SLURMD_NODENAME|RHEO_TEST_NODE)=$1" || continue
        { tr '\0' '\n' <"$environment"; } 2>/dev/null | grep -qx "SLURM_CONF=$SLURM_CONF" || continue
        environment=${environment#/proc/}
        echo "${environment%/environ}"
    done
}

case $verb in
start)
    for program in munged slurmctld slurmd sbatch; do
        command -v $program >/dev/null || fail "no $program: apt-get install slurm-wlm munge"
    done
    [ -f "$SLURM_CONF" ] || configure "${1:-16817}" "${NODES:-4}" "${CPUS:-4}" "${GPUS:-0}"
    if ! pid_of munged >/dev/null; then
        daemon munged munged --foreground --force --key-file="$dir/munge/key" --socket="$dir/munge/socket" \
            --pid-file="$dir/run/munged.own" --log-file="$dir/log/munged.log" --seed-file="$dir/munge/seed"
        wait_until 10 test -S "$dir/munge/socket" || fail "munged did not start: $dir/log/munged.out"
    fi
    pid_of slurmctld >/dev/null || controller
    wait_until 20 scontrol ping || fail "slurmctld did not start: $dir/log/slurmctld.log"
    for name in $(nodes); do pid_of "$name" >/dev/null || node "$name"; done
    come_up || fail "not every node came up: $dir/log/n*.log"
    ;;
stop)
    [ -f "$SLURM_CONF" ] || exit 0
    timeout 5 scancel --user="$(id -un)" >/dev/null 2>&1 || true
    for name in $(nodes); do finish "$name" KILL; done
    for pid in $(jobs_of '.*'); do kill -KILL "$pid" 2>/dev/null || true; done
    finish slurmctld KILL
    finish munged TERM
    ;;
env) echo "export SLURM_CONF='$SLURM_CONF'" ;;
controller)
    case $1 in
    stop) finish slurmctld TERM ;;
    start) controller && wait_until 20 scontrol ping ;;
    esac
    ;;
node)
    case $2 in
    kill) # The daemon first, so that it tells nobody; then all that ran there.
        finish "$1" KILL
        for pid in $(jobs_of "$1"); do kill -KILL "$pid" 2>/dev/null || true; done
        ;;
    freeze) kill -STOP "$(pid_of "$1")" ;;
    start) if pid_of "$1" >/dev/null; then kill -CONT "$(pid_of "$1")"; else node "$1"; fi ;;
    esac
    ;;
*) fail "unknown verb: $verb" ;;
esac
