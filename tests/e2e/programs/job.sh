# SPDX-License-Identifier: MIT
# usage: sh job.sh SEED VECTORS
#
# One of the parallel jobs: forks, pipes, sorting, sums, and VECTORS, the program
# of vectors.c, between them. What it prints follows from SEED alone, so a run on
# the host says what is right.
seed=$1
vectors=$2

"$vectors" "$seed" 150 &

i=0 sum=0
while [ $i -lt 3000 ]; do
	sum=$(((sum * 31 + i + seed) % 1000003))
	i=$((i + 1))
done
wait $!
echo "vectors ended with $?"
echo "loop $sum"

seq 1 $((2000 + seed)) | sort -r | md5sum
seq 1 3000 | awk -v seed="$seed" '{ s = (s * 17 + $1 + seed) % 99991 } END { print "awk", s }'
dd if=/dev/zero bs=64k count=32 2>/dev/null | tr '\0' "$(printf "\\$((101 + seed % 7))")" | sha256sum

# Forty processes, each the child of the one before it.
nest()
{
	[ "$1" -eq 0 ] && { echo "bottom $seed"; return; }
	(nest $(($1 - 1)))
}
nest 40

# Short-lived processes: fork, exec, exit, and their statuses.
n=0 good=0
while [ $n -lt 40 ]; do
	sh -c "exit $((n % 5))"
	[ $? -eq $((n % 5)) ] && good=$((good + 1))
	n=$((n + 1))
done
echo "statuses $good"
