# SPDX-License-Identifier: MIT
# usage: load.sh disk DEVICE AREA | net URL SHA256
#
# Load until /tmp/stop is there: a disk's slots of 1 MiB, eight an area, one after
# the other written, flushed, said to be ("@flushed SLOT SHA256") and read back; or
# a file fetched over and over. What is wrong is a line with "@bad".
load_disk()
{
	n=0
	while [ ! -e /tmp/stop ]; do
		slot=$(($2 * 8 + n % 8)) n=$((n + 1))
		head -c 1048576 /dev/urandom >"/tmp/data$2"
		want=$(sha256sum <"/tmp/data$2")
		dd if="/tmp/data$2" of="$1" bs=64k seek=$((slot * 16)) conv=fsync,notrunc 2>/dev/null || echo "@bad write $slot"
		echo "@flushed $slot ${want%% *}"
		echo 3 >/proc/sys/vm/drop_caches
		got=$(dd if="$1" bs=64k skip=$((slot * 16)) count=16 2>/dev/null | sha256sum)
		[ "$got" = "$want" ] || echo "@bad slot $slot: $got for $want"
	done
	echo "@done disk$2 $n"
}

load_net()
{
	n=0
	while [ ! -e /tmp/stop ]; do
		got=$(wget -q -O - "$1" | sha256sum)
		[ "${got%% *}" = "$2" ] || echo "@bad net $n: $got"
		n=$((n + 1))
		echo "@fetched $n"
	done
	echo "@done net $n"
}

kind=$1
shift
"load_$kind" "$@"
