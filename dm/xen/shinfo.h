/* SPDX-License-Identifier: MIT */
/*
 * The shared_info page and the vcpu_info structures: the memory through which
 * Xen and a guest tell each other of events and time.
 *
 * shared_info is a host page that the guest maps where it likes. A vCPU's
 * vcpu_info begins inside it (the first 32 vCPUs) and may move, once, to any
 * page of RAM that the guest names. Both exist in a 32-bit and a 64-bit
 * layout; which one holds is latched at the points where Xen does it, so a
 * 32-bit loader may start a 64-bit kernel.
 *
 * Every field is written with an atomic access, for the guest does the same at
 * the other end. Guest values are never trusted: bits are only set, cleared
 * and tested.
 */
#ifndef DM_XEN_SHINFO_H
#define DM_XEN_SHINFO_H

#include <pthread.h>
#include <stdbool.h>

#include "dm/xen/hypercall.h"

/* Offsets in bytes of what is used of the two structures. */
struct shinfo_layout {
	uint32_t word_bits; /* of evtchn_pending_sel; n_ports is its square */
	uint32_t n_ports;
	uint32_t pending, mask;                           /* bit arrays in shared_info */
	uint32_t wc_version, wc_sec, wc_nsec, wc_sec_hi;  /* in shared_info */
	uint32_t vcpu_info_size, sel, time;               /* in vcpu_info */
};

struct shinfo_vcpu {
	uint8_t *info;       /* vcpu_info; NULL: none, or paused. Atomic. */
	uint64_t registered; /* its guest physical address, or GAMUT_GPA_NONE */
};

struct shinfo {
	const struct xen_env *env;
	pthread_mutex_t lock; /* placement and registration */
	const struct shinfo_layout *layout; /* atomic */
	struct gamut_page *page;
	uint8_t *shared; /* host address of the page */
	uint64_t where;  /* its guest physical address, or GAMUT_GPA_NONE */
	bool paused;
	bool stays; /* a PV platform has placed it before this object's reset comes */
	struct shinfo_vcpu *vcpu;
};

/* 0 or -ENOMEM. [control] */
int shinfo_init(struct shinfo *si, const struct xen_env *env);
void shinfo_finish(struct shinfo *si);
/* Power-on state: zeroed, mapped nowhere (but see stays), nothing registered, 64-bit layout. [control] */
void shinfo_reset(struct shinfo *si);
/* Drops and takes again the pointers into guest RAM. Between the two, events are kept in shared_info only. */
void shinfo_pause(struct shinfo *si);
void shinfo_resume(struct shinfo *si);

/* See struct gamut_xen_intr_ops. */
int shinfo_place(struct shinfo *si, uint64_t gpa);
uint64_t shinfo_where(struct shinfo *si);
void shinfo_latch(struct shinfo *si, bool long_mode);

/*
 * VCPUOP_register_vcpu_info: gpa is aligned to 8 and within one page. The old
 * contents move along. -EINVAL when done before or when it is not RAM.
 */
int shinfo_register(struct shinfo *si, uint32_t vcpu, uint64_t gpa);

static inline const struct shinfo_layout *shinfo_layout(const struct shinfo *si)
{
	return __atomic_load_n(&si->layout, __ATOMIC_ACQUIRE);
}

/* Bytes of a vcpu_info, in both layouts: evtchn_upcall_pending is 0. */
#define SHINFO_MASK offsetof(struct vcpu_info, evtchn_upcall_mask)

/* vCPU's vcpu_info or NULL. [any] */
static inline uint8_t *shinfo_vcpu_info(const struct shinfo *si, uint32_t vcpu)
{
	return __atomic_load_n(&si->vcpu[vcpu].info, __ATOMIC_ACQUIRE);
}

/* Tells the core that a vCPU's vcpu_info was written to, when it lies in RAM. [any] */
void shinfo_dirty(struct shinfo *si, uint32_t vcpu);

/* ---- bit arrays shared with the guest; both layouts are little endian ---- */

static inline bool shinfo_bit_set(uint8_t *array, uint32_t n)
{
	uint32_t bit = 1u << n % 32;

	return __atomic_fetch_or((uint32_t *)(void *)array + n / 32, bit, __ATOMIC_SEQ_CST) & bit;
}

static inline bool shinfo_bit_clear(uint8_t *array, uint32_t n)
{
	uint32_t bit = 1u << n % 32;

	return __atomic_fetch_and((uint32_t *)(void *)array + n / 32, ~bit, __ATOMIC_SEQ_CST) & bit;
}

static inline bool shinfo_bit_test(const uint8_t *array, uint32_t n)
{
	return __atomic_load_n((const uint32_t *)(const void *)array + n / 32, __ATOMIC_SEQ_CST) >> n % 32 & 1;
}

#endif
