/* SPDX-License-Identifier: MIT */
/* Which frames the 82540EM receives (3.2.1, 13.5): addresses, multicast hash, VLANs, flow control. */
#include <string.h>

#include "dm/net/e1000-internal.h"

void e1000_filter_copy(struct e1000 *d, struct e1000_filter *f)
{
	f->rctl = *e1000_reg(d, E1000_RCTL);
	f->vet = *e1000_reg(d, E1000_VET) & 0xffff;
	f->fct = *e1000_reg(d, E1000_FCT) & 0xffff;
	f->fcal = *e1000_reg(d, E1000_FCAL);
	f->fcah = *e1000_reg(d, E1000_FCAH) & 0xffff;
	f->strip = *e1000_reg(d, E1000_CTRL) & CTRL_VME;
	memcpy(f->ra, e1000_reg(d, E1000_RAL), sizeof(f->ra));
	memcpy(f->mta, e1000_reg(d, E1000_MTA), sizeof(f->mta));
	memcpy(f->vfta, e1000_reg(d, E1000_VFTA), sizeof(f->vfta));
}

static uint32_t low(const uint8_t *a)
{
	return a[0] | (uint32_t)a[1] << 8 | (uint32_t)a[2] << 16 | (uint32_t)a[3] << 24;
}

static uint32_t high(const uint8_t *a)
{
	return a[4] | (uint32_t)a[5] << 8;
}

static uint32_t type(const uint8_t *frame)
{
	return (uint32_t)frame[12] << 8 | frame[13];
}

static bool exact(const struct e1000_filter *f, const uint8_t *frame)
{
	for (uint32_t i = 0; i < E1000_RA_COUNT; i++) {
		uint32_t h = f->ra[2 * i + 1], select = h & RAH_AS;
		const uint8_t *a = frame + (select ? 6 : 0);

		/* 00 destination, 01 source; the others are reserved. */
		if (h & RAH_AV && select <= 0x10000 && f->ra[2 * i] == low(a) && (h & 0xffff) == high(a))
			return true;
	}
	return false;
}

/* 12 bits of the address, from a bit on that RCTL.MO says. */
static bool multicast_hash(const struct e1000_filter *f, const uint8_t *a)
{
	static const uint8_t shift[4] = {4, 3, 2, 0};
	uint32_t hash = (high(a) >> shift[f->rctl >> RCTL_MO_SHIFT & 3]) & 0xfff;

	return f->mta[hash >> 5] >> (hash & 31) & 1;
}

/* False for a tagged frame of a VLAN that is not listed. */
static bool vlan(const struct e1000_filter *f, const uint8_t *frame, uint32_t length)
{
	uint32_t id;

	if (!(f->rctl & RCTL_VFE) || type(frame) != f->vet || length < NETDEV_HEADER + 4)
		return true;
	id = ((uint32_t)frame[14] << 8 | frame[15]) & 0xfff;
	if (f->rctl & RCTL_CFIEN && (frame[14] >> 4 & 1) != (f->rctl & RCTL_CFI ? 1 : 0))
		return false;
	return f->vfta[id >> 5] >> (id & 31) & 1;
}

static bool pause(const struct e1000_filter *f, const uint8_t *frame)
{
	return type(frame) == f->fct && f->fct &&
	       ((low(frame) == f->fcal && high(frame) == f->fcah) || exact(f, frame));
}

enum e1000_match e1000_filter(const struct e1000_filter *f, const uint8_t *frame, uint32_t length)
{
	static const uint8_t broadcast[NETDEV_MAC] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	if (pause(f, frame) && !(f->rctl & RCTL_PMCF))
		return E1000_PAUSE;
	if (!vlan(f, frame, length))
		return E1000_DROP;
	if (exact(f, frame))
		return E1000_EXACT;
	if (!memcmp(frame, broadcast, sizeof(broadcast)))
		return f->rctl & (RCTL_BAM | RCTL_MPE) ? E1000_EXACT : E1000_DROP;
	if (frame[0] & 1)
		return f->rctl & RCTL_MPE || multicast_hash(f, frame) ? E1000_INEXACT : E1000_DROP;
	return f->rctl & RCTL_UPE ? E1000_INEXACT : E1000_DROP;
}
