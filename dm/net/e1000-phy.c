/* SPDX-License-Identifier: MIT */
/*
 * The PHY in the 82540EM, an 88E1011 at address 1, through MDIC (8.5, 13.4.8;
 * IEEE 802.3 clause 22). Negotiation ends at once, with a partner that can do
 * everything.
 */
#include <string.h>

#include "dm/net/e1000-internal.h"

#define PHY_ADDRESS 1u

enum phy_reg {
	PHY_CTRL = 0,
	PHY_STATUS = 1,
	PHY_ID1 = 2,
	PHY_ID2 = 3,
	PHY_ANAR = 4,
	PHY_LPA = 5,
	PHY_ANER = 6,
	PHY_1000_CTRL = 9,
	PHY_1000_STATUS = 10,
	PHY_EXT_STATUS = 15,
	PHY_SPECIFIC_CTRL = 16,
	PHY_SPECIFIC_STATUS = 17,
	PHY_INT_ENABLE = 18,
	PHY_INT_STATUS = 19,
	PHY_EXT_CTRL = 20,
};

#define CTRL_RESET    0x8000u
#define CTRL_LOOPBACK 0x4000u
#define CTRL_AUTONEG  0x1000u
#define CTRL_DOWN     0x0800u
#define CTRL_RESTART  0x0200u
#define CTRL_CLEARING (CTRL_RESET | CTRL_RESTART)

#define STATUS_LINK 0x0004u
#define STATUS_DONE 0x0020u
/* What it can: 10 and 100 Mb/s in both duplexes, extended status, no preamble, negotiation, extended registers. */
#define STATUS_CAN 0x7949u

#define LPA_ALL 0xc5e1u          /* acknowledge, next page, pause, 10 and 100 */
#define STATUS_1000_PARTNER 0x3c00u /* both receivers good, partner full and half duplex */
#define SPECIFIC_UP 0xac00u      /* 1000, full duplex, resolved, link */
#define INT_LINK_NEGOTIATED 0x0c00u

/* Bits that software may set; registers not listed cannot be written. */
static const uint16_t writable[32] = {
        [PHY_CTRL] = 0x7dc0, [PHY_ANAR] = 0xbfff,          [7] = 0xbfff,
        [PHY_1000_CTRL] = 0xff00, [PHY_SPECIFIC_CTRL] = 0xffff, [PHY_INT_ENABLE] = 0xffff,
        [PHY_EXT_CTRL] = 0xffff,  [24] = 0xffff,                [29] = 0xffff, [30] = 0xffff,
};

void e1000_phy_link(struct e1000 *d, bool up)
{
	uint16_t *r = d->phy.reg;

	if (up == ((r[PHY_SPECIFIC_STATUS] & SPECIFIC_UP) == SPECIFIC_UP))
		return;
	r[PHY_INT_STATUS] |= INT_LINK_NEGOTIATED;
	r[PHY_SPECIFIC_STATUS] = up ? SPECIFIC_UP : 0;
	r[PHY_LPA] = up ? LPA_ALL : 0;
	r[PHY_1000_STATUS] = up ? STATUS_1000_PARTNER : 0;
	r[PHY_ANER] = up ? 3 : 0;
	/* A link that was lost shows as lost once, whatever came after. */
	if (up)
		r[PHY_STATUS] |= STATUS_DONE;
	else
		r[PHY_STATUS] &= (uint16_t)~(STATUS_LINK | STATUS_DONE);
}

void e1000_phy_reset(struct e1000 *d)
{
	uint16_t *r = d->phy.reg;

	memset(r, 0, sizeof(d->phy.reg));
	r[PHY_CTRL] = 0x1140; /* negotiate, full duplex, 1000 */
	r[PHY_STATUS] = STATUS_CAN;
	r[PHY_ID1] = 0x0141;
	r[PHY_ID2] = 0x0c20;
	r[PHY_ANAR] = 0x0de1;
	r[PHY_1000_CTRL] = 0x0e00;
	r[PHY_EXT_STATUS] = 0x3000; /* 1000BASE-T, both duplexes */
	r[PHY_SPECIFIC_CTRL] = 0x0360;
	r[PHY_EXT_CTRL] = 0x0d60;
}

bool e1000_phy_loopback(const struct e1000 *d)
{
	return d->phy.reg[PHY_CTRL] & CTRL_LOOPBACK;
}

static uint16_t phy_read(struct e1000 *d, uint32_t reg)
{
	uint16_t *r = d->phy.reg, value = r[reg];

	if (reg == PHY_STATUS && r[PHY_SPECIFIC_STATUS])
		r[PHY_STATUS] |= STATUS_LINK; /* latched low: the next read shows what is */
	else if (reg == PHY_INT_STATUS || reg == 21)
		r[reg] = 0;
	return value;
}

static void phy_write(struct e1000 *d, uint32_t reg, uint16_t value)
{
	d->phy.reg[reg] = (uint16_t)((d->phy.reg[reg] & ~writable[reg]) | (value & writable[reg]));
	if (reg != PHY_CTRL)
		return;
	if (value & CTRL_RESET)
		e1000_phy_reset(d);
	if (value & CTRL_CLEARING) {
		e1000_phy_link(d, false); /* for a moment */
		d->link = false;
	}
	e1000_link_update(d);
}

uint32_t e1000_mdic(struct e1000 *d, uint32_t value)
{
	uint32_t reg = value >> 16 & 31, kept = value & ~(MDIC_READY | MDIC_ERROR);

	if (!(value & (MDIC_READ | MDIC_WRITE)))
		return kept;
	if ((value >> 21 & 31) != PHY_ADDRESS)
		kept |= MDIC_ERROR;
	else if (value & MDIC_READ)
		kept = (kept & 0xffff0000u) | phy_read(d, reg);
	else
		phy_write(d, reg, (uint16_t)value);
	if (value & MDIC_IE)
		e1000_causes(d, ICR_MDAC);
	return kept | MDIC_READY;
}
