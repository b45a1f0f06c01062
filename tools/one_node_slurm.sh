#!/bin/sh
# A Slurm of this machine alone, to try profiles/slurm on: two partitions, one made-up GPU. As root, on Debian, after
#   apt-get install -y --no-install-recommends slurm-wlm munge
# Usage: tools/one_node_slurm.sh start FOLDER | stop FOLDER     (FOLDER: for its files; links two into /etc/slurm)
set -eu
action=${1:?start or stop}
folder=$(realpath -m "${2:?a folder for its files}")

end() { # $1: a file with a process number
    [ -f "$1" ] && kill "$(cat "$1")" 2>/dev/null || true
}

if [ "$action" = stop ]; then
    for name in slurmd slurmctld munge/munged; do end "$folder/$name.pid"; done
    rm -f /etc/slurm/slurm.conf /etc/slurm/gres.conf
    exit
fi
for file in slurm.conf gres.conf; do
    [ ! -e "/etc/slurm/$file" ] || { echo "/etc/slurm/$file is there: this machine has a Slurm already" >&2; exit 1; }
done

mkdir -p "$folder/munge" "$folder/state" "$folder/spool" /etc/slurm
chmod 755 "$folder" "$folder/munge"
dd if=/dev/urandom of="$folder/munge/key" bs=1 count=1024 2>/dev/null
chown -R munge "$folder/munge"
chmod 400 "$folder/munge/key"
setpriv --reuid munge --regid munge --clear-groups munged --force --key-file="$folder/munge/key" \
    --socket="$folder/munge/sock" --pid-file="$folder/munge/munged.pid" --log-file="$folder/munge/log" \
    --seed-file="$folder/munge/seed"

host=$(hostname -s)
cat > "$folder/slurm.conf" <<END
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
AuthInfo=socket=$folder/munge/sock
SlurmUser=root
SlurmctldPort=26817
SlurmdPort=26818
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
ReturnToService=2
GresTypes=gpu
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$(awk '/MemTotal/ {print int($2 / 1100)}' /proc/meminfo) Gres=gpu:1 State=UNKNOWN
PartitionName=cpu Nodes=$host Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes=$host MaxTime=INFINITE State=UP
END
echo "Name=gpu File=/dev/null" > "$folder/gres.conf"
ln -s "$folder/slurm.conf" "$folder/gres.conf" /etc/slurm/
slurmctld
slurmd
for _ in 1 2 3 4 5 6 7 8 9 10; do
    if sinfo --noheader --format=%T | grep -q idle; then exit 0; fi
    sleep 1
done
echo "the node is not idle; see $folder/slurmctld.log and $folder/slurmd.log" >&2
exit 1
