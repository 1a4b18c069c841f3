#!/bin/sh
# SPDX-License-Identifier: MIT
# What busybox's udhcpc calls with the lease that it got in variables.
case $1 in
deconfig)
	ip addr flush dev "$interface"
	ip link set "$interface" up
	;;
bound | renew)
	ip addr flush dev "$interface" scope global
	ip addr add "$ip/$mask" dev "$interface"
	[ -z "$router" ] || ip route replace default via "${router%% *}"
	;;
esac
