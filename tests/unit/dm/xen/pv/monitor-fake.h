/* SPDX-License-Identifier: MIT */
/* A PV monitor for tests: machine_to_phys and which pages the guest may part with, as plain arrays. */
#ifndef TEST_PV_MONITOR_FAKE_H
#define TEST_PV_MONITOR_FAKE_H

#include "dm/xen/public.h"
#include "gamut/xen.h"

#define MONITOR_FRAMES 8192u
#define MONITOR_M2P 0xffff808000000000ull

struct monitor_fake {
	uint64_t frames;               /* of RAM, from 0 on */
	uint64_t m2p[MONITOR_FRAMES];  /* UINT64_MAX: none */
	uint8_t kept[MONITOR_FRAMES];  /* a page table, say */
	struct gamut_pv_boot boot;
	uint32_t boots;
	int boot_error;
};

static inline int monitor_fake_boot(void *self, const struct gamut_pv_boot *boot)
{
	struct monitor_fake *m = self;

	m->boot = *boot;
	m->boots++;
	return m->boot_error;
}

static inline void monitor_fake_machphys(void *self, uint64_t *v_start, uint64_t *v_end, uint64_t *max_mfn)
{
	struct monitor_fake *m = self;

	*v_start = MONITOR_M2P;
	*v_end = MONITOR_M2P + m->frames * 8;
	*max_mfn = m->frames - 1;
}

static inline int monitor_fake_free(void *self, uint64_t mfn)
{
	struct monitor_fake *m = self;

	return mfn < m->frames && m->m2p[mfn] != UINT64_MAX && !m->kept[mfn];
}

static inline void monitor_fake_gone(void *self, uint64_t mfn)
{
	((struct monitor_fake *)self)->m2p[mfn] = UINT64_MAX;
}

static inline void monitor_fake_here(void *self, uint64_t mfn, uint64_t pfn)
{
	((struct monitor_fake *)self)->m2p[mfn] = pfn;
}

static const struct gamut_pv_monitor_ops monitor_fake_ops = {
	.size = sizeof(struct gamut_pv_monitor_ops),
	.boot = monitor_fake_boot,
	.machphys = monitor_fake_machphys,
	.page_free = monitor_fake_free,
	.page_gone = monitor_fake_gone,
	.page_here = monitor_fake_here,
};

static inline void monitor_fake_init(struct monitor_fake *m, uint64_t frames)
{
	*m = (struct monitor_fake){ .frames = frames };
	for (uint64_t i = 0; i < frames; i++)
		m->m2p[i] = i;
}

#endif
