/* SPDX-License-Identifier: MIT */
/*
 * Xen's public headers in the one interface version that all of dm/xen uses.
 * Include this before any other <xen/...> header: the version decides the
 * names and layouts in them.
 */
#ifndef DM_XEN_PUBLIC_H
#define DM_XEN_PUBLIC_H

#define __XEN_INTERFACE_VERSION__ 0x00040e00

#include <stddef.h>
#include <stdint.h>

#include <xen/xen.h>
#include <xen/foreign/x86_32.h>
#include <xen/event_channel.h>
#include <xen/features.h>
#include <xen/grant_table.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/hvm_vcpu.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>

/* The ABI's pages are 4 KiB whatever the host's. */
#define XEN_PAGE_SHIFT 12
#define XEN_PAGE_SIZE 4096ull

/* The version that the ABI is answered as: that of the headers it was written against. */
#define XEN_ABI_MAJOR 4u
#define XEN_ABI_MINOR 17u

#endif
