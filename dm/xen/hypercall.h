/* SPDX-License-Identifier: MIT */
/*
 * What every Xen hypercall has in common: who may call, where arguments are,
 * how a 32-bit caller's structures are read, and how a sub-operation is found.
 *
 * Layouts. A caller in 64-bit mode uses the structures of Xen's public headers
 * as they are compiled here. A caller in any other mode uses the i386 layout:
 * longs and pointers of four bytes, 64-bit fields aligned to four. Where the
 * two differ, a struct xen_layout lists the fields, and xen_get and xen_put
 * convert, so that a handler only ever sees the 64-bit structure. Structures
 * without such fields are the same in both and are copied with xen_get_raw.
 * An output that does not fit 32 bits is cut off, as on Xen.
 *
 * Arguments are copied in once, checked and used on the private copy.
 */
#ifndef DM_XEN_HYPERCALL_H
#define DM_XEN_HYPERCALL_H

#include <stdbool.h>

#include "dm/xen/public.h"
#include "gamut/host.h"

/* A plugin instance's view of its domain, shared by the objects it is made of. */
struct xen_env {
	const struct gamut_host *host;
	struct gamut_inst *inst;
	uint32_t domid;
	uint32_t n_vcpus;
	uint64_t *unimplemented; /* counter: answered with -ENOSYS */
};

/* Reads identity and counters from the host; nothing to finish. [control] */
void xen_env_init(struct xen_env *env, const struct gamut_host *host, struct gamut_inst *inst);

/* True when domid, as the guest wrote it, means the guest itself. */
bool xen_env_self(const struct xen_env *env, uint32_t domid);

/* Adds one to a counter. [any] */
static inline void xen_count(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

/* Counts and gives -ENOSYS. [vcpu] */
int64_t xen_unimplemented(const struct xen_env *env);

/* One field: offset and bytes in the i386 and in the x86-64 structure. */
struct xen_field {
	uint8_t at32, len32, at64, len64;
};

struct xen_layout {
	uint8_t size32, size64, n;
	struct xen_field field[10];
};

#define XEN_LAYOUT_MAX 64

/* Copies a structure in or out in the caller's layout. 0 or -EFAULT. [vcpu] */
int xen_get(const struct xen_env *env, const struct gamut_hypercall *call, uint64_t va, void *buf,
            const struct xen_layout *layout);
int xen_put(const struct xen_env *env, const struct gamut_hypercall *call, uint64_t va, const void *buf,
            const struct xen_layout *layout);
/* The distance between elements of an array of such structures. */
uint64_t xen_stride(const struct gamut_hypercall *call, const struct xen_layout *layout);

/* Copies bytes that are the same in both layouts. 0 or -EFAULT. [vcpu] */
int xen_get_raw(const struct xen_env *env, const struct gamut_hypercall *call, uint64_t va, void *buf, uint64_t len);
int xen_put_raw(const struct xen_env *env, const struct gamut_hypercall *call, uint64_t va, const void *buf,
                uint64_t len);

/* Element i of an array of longs (xen_ulong_t, xen_pfn_t): all-ones is widened to all-ones. 0 or -EFAULT. */
int xen_get_long(const struct xen_env *env, const struct gamut_hypercall *call, uint64_t array, uint64_t i,
                 uint64_t *value);
int xen_put_long(const struct xen_env *env, const struct gamut_hypercall *call, uint64_t array, uint64_t i,
                 uint64_t value);

/* A sub-operation: self is the object, arg the guest address of its structure. */
typedef int64_t (*xen_subop_fn)(void *self, struct gamut_hypercall *call, uint64_t arg);

/*
 * Runs table[cmd]; -ENOSYS, counted, when there is none. Only the guest's
 * kernel may call: -EPERM for another privilege level. [vcpu]
 */
int64_t xen_dispatch(const struct xen_env *env, const xen_subop_fn *table, uint32_t n, void *self,
                     struct gamut_hypercall *call, uint64_t cmd, uint64_t arg);

/* A number and who serves it; tables of these wire hypercalls up. */
struct xen_hypercall {
	uint32_t nr;
	gamut_hypercall_fn fn;
};

/* Registers all with the host. 0 or what hypercall_register gave. [control] */
int xen_hypercalls_register(const struct xen_env *env, const struct xen_hypercall *table, uint32_t n, void *opaque);

#endif
