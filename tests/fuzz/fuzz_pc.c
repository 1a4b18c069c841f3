/* SPDX-License-Identifier: MIT */
/*
 * A guest at a whole PC (pc-world.h), and what happens around it meanwhile. The
 * input is a byte that says how the PC is put together, then a list of actions:
 * a byte whose low five bits are the action and whose upper three are its own,
 * and what the action reads. Beside accesses of any kind to anything there are
 * the beginnings of sensible ones - a ring, a table, a command - because rubbish
 * alone does not come far into a device.
 */
#include "dm/net/e1000-reg.h"
#include "fuzz-input.h"
#include "pc-world.h"

#define PAGE      4096u
#define TABLE     0x10000u  /* PRDs */
#define TX_RING   0x20000u
#define RX_RING   0x21000u
#define FW_DMA    0x22000u
#define SCRATCH   0x30000u
#define MANY      512u
#define CELLS     8192u
#define ACCEPTS   64u
#define DEADLINE  0x6e0u
#define X2APIC    0x800u
#define APIC_BASE 0x1bu
#define LAPIC     0xfee00000u
#define SPENT_MAX 60000u /* calls of the host: an input is over that has made so many */

static const uint64_t unit_ns[4] = { 10, 1000, 100000, 20000000 };

static uint64_t sized(struct fuzz_input *in, uint32_t width)
{
	uint64_t value = 0;

	for (uint32_t i = 0; i < width; i++)
		value |= (uint64_t)fuzz_u8(in) << 8 * i;
	return value;
}

/* An address for a device to go to: good ones, the edges of memory, what is not memory, anything. */
static uint64_t where(struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in), low = fuzz_u8(in);

	switch (what & 15) {
	case 0 ... 5:
		return SCRATCH + (uint64_t)(what >> 4) * PAGE + low * 16u;
	case 6:
		return PC_RAM - low;
	case 7:
		return PC_RAM + low;
	case 8:
		return 0xa0000u + (what >> 4) * 0x8000u - low;
	case 9:
		return 0xc0000u + (what >> 4) * 0x4000u + low;
	case 10:
		return what & 16 ? 0xfec00000u + low : LAPIC + low * 16u;
	case 11:
		return (what & 16 ? PC_NIC : what & 32 ? PC_OWN_MSIX : PC_OWN) + low * 16u;
	case 12:
		return UINT64_MAX - low;
	case 13:
		return 0x100000000ull - low;
	case 14:
		return (what & 16 ? TX_RING : what & 32 ? RX_RING : what & 64 ? TABLE : FW_DMA) + low * 8u;
	default:
		return sized(in, 8);
	}
}

static void put(struct pc_world *w, uint64_t at, const void *data, size_t n)
{
	if (at <= PC_RAM && n <= PC_RAM - at)
		memcpy(w->f->ram + at, data, n);
}

/* ---- single accesses ---- */

/* One of the ports that somebody has, or that a window opens, or any. */
static uint32_t port(const struct pc_world *w, struct fuzz_input *in)
{
	static const struct {
		uint16_t base, size;
	} windows[] = { { PC_NIC_PORTS, 64 },  { PC_IDE_PORTS, 16 }, { PC_OWN_PORTS, 32 },
		        { PC_PM_PORTS, 64 },   { PC_SMB_PORTS, 16 }, { 0xcf8, 8 },
		        { 0, 0 } };
	uint32_t n = sizeof(windows) / sizeof(windows[0]), which = fuzz_u8(in) % (w->bus.pio.n + n), base, size;

	if (which < w->bus.pio.n) {
		base = (uint32_t)w->bus.pio.ranges[which].base;
		size = (uint32_t)w->bus.pio.ranges[which].len;
	} else {
		base = windows[which - w->bus.pio.n].base;
		size = windows[which - w->bus.pio.n].size;
	}
	if (!size)
		return fuzz_u16(in);
	return size == 1 ? base : base + fuzz_u8(in) % size;
}

static uint32_t port_width(uint32_t more)
{
	return 1u << (more & 3) % 3;
}

static void act_out(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	uint32_t at = port(w, in), width = port_width(more);

	pc_out(w, at, width, (uint32_t)sized(in, width));
}

static void act_in(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	pc_in(w, port(w, in), port_width(more));
}

static void many(struct pc_world *w, struct fuzz_input *in, uint32_t more, bool write)
{
	uint32_t at = port(w, in), width = port_width(more), count = 1 + fuzz_u8(in) * (more & 4 ? 2u : 1u);
	uint8_t buf[MANY * 4];

	memset(buf, (uint8_t)at, sizeof(buf));
	bus_pio_many(&w->bus, (uint16_t)at, width, write, buf, count);
}

static void act_outs(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	many(w, in, more, true);
}

static void act_ins(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	many(w, in, more, false);
}

static uint64_t address(struct pc_world *w, struct fuzz_input *in, uint32_t width)
{
	static const struct {
		uint64_t base;
		uint32_t size, step;
	} places[] = {
		{ 0xfec00000, 0x48, 1 },  { LAPIC, 0x1000, 1 },          { LAPIC, 0x400, 16 },     { PC_NIC, 0x6000, 4 },
		{ PC_NIC, 0x20000, 4 },   { PC_NIC_ROM, 0x1000, 1 },     { 0xa0000, 0x20000, 1 },  { 0xb8000, 0x8000, 1 },
		{ PC_OWN, 0x1000, 1 },    { PC_OWN_MSIX, 0x100, 4 },     { PC_OWN_MSIX, 0x1000, 1 }, { 0xff000000, 0x10000, 1 },
		{ 0xfffc0000, 0x40000, 1 }, { 0xc0000, 0x40000, 1 },
	};
	uint8_t which = fuzz_u8(in);
	uint32_t n = sizeof(places) / sizeof(places[0]), i = (which & 0x7f) % (n + 2), offset;

	if (i == n)
		return where(in);
	if (i > n)
		return pc_rdmsr(w, APIC_BASE) / PAGE * PAGE + fuzz_u8(in) * 4u;
	offset = fuzz_u16(in) * (places[i].size > 0x10000 ? places[i].size >> 16 : 1u) % places[i].size;
	/* Most accesses are as they should be. */
	if (!(which & 0x80))
		offset = offset / places[i].step * places[i].step & ~(width - 1);
	return places[i].base + offset;
}

static void act_store(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	uint32_t width = 1u << (more & 3);
	uint64_t at = address(w, in, width);

	for (uint32_t n = more & 4 ? fuzz_u8(in) % 128u : 1; n; n--, at += width)
		pc_store(w, at, width, sized(in, width));
}

static void act_load(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	uint32_t width = 1u << (more & 3);
	uint64_t at = address(w, in, width);

	for (uint32_t n = more & 4 ? fuzz_u8(in) % 128u : 1; n; n--, at += width)
		pc_load(w, at, width);
}

static uint32_t devfn(struct fuzz_input *in)
{
	static const uint8_t functions[] = { PC_DEVFN_BRIDGE, PC_DEVFN_ISA, PC_DEVFN_IDE, PC_DEVFN_PM, PC_DEVFN_NIC,
		                             PC_DEVFN_OWN };
	uint8_t which = fuzz_u8(in) % 8;

	return which < sizeof(functions) ? functions[which] : fuzz_u8(in);
}

static void act_config_write(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	uint32_t f = devfn(in), reg = fuzz_u8(in), width = port_width(more);

	pc_set_config(w, f, reg, width, (uint32_t)sized(in, width));
}

static void act_config_read(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	uint32_t f = devfn(in);

	pc_config(w, f, fuzz_u8(in), port_width(more));
}

static uint32_t msr(struct fuzz_input *in, uint32_t more)
{
	switch (more & 3) {
	case 0:
		return APIC_BASE;
	case 1:
		return DEADLINE;
	default:
		return X2APIC + fuzz_u8(in) % 0x40;
	}
}

static void act_wrmsr(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	uint32_t which = msr(in, more);

	pc_wrmsr(w, which, sized(in, more & 4 ? 8 : 4));
}

static void act_rdmsr(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	pc_rdmsr(w, msr(in, more));
}

/* Into x2APIC mode, out of it, off, elsewhere. */
static void act_apic_base(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	uint64_t base = more & 4 ? where(in) & ~0xfffull : LAPIC;

	pc_wrmsr(w, APIC_BASE, base | (more & 3) << 10 | (w->f->current ? 0 : 0x100));
}

static void act_memory(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	uint64_t at = where(in);
	size_t n;
	const uint8_t *p = fuzz_bytes(in, fuzz_u8(in) & (more & 1 ? 0xffu : 0x1fu), &n);

	put(w, at, p, n);
}

/* ---- IDE ---- */

static void prds(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	uint32_t at = TABLE + 8 * (fuzz_u8(in) & 0x1f), n = fuzz_u8(in);

	/* The same over and over, for as long as the table can be, is a table that has no end. */
	for (uint32_t i = 0, entry[2] = { 0 }; i < (more & 1 ? 0x2000u : 1u + n % 8); i++) {
		if (!i || !(more & 1)) {
			entry[0] = (uint32_t)where(in);
			entry[1] = fuzz_u16(in) | (fuzz_u8(in) & 1u) << 31;
		}
		put(w, at + 8 * i, entry, 8);
	}
}

static void ide_command(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	uint32_t base = more & 1 ? 0x170 : 0x1f0, at = fuzz_u16(in), count = fuzz_u8(in);
	uint8_t device = fuzz_u8(in);

	pc_out(w, base + 6, 1, device);
	for (uint32_t i = 0; i < 2; i++) {
		pc_out(w, base + 1, 1, device >> 5 & 1);
		pc_out(w, base + 2, 1, i ? count : count >> 7);
		pc_out(w, base + 3, 1, i ? at & 0xff : 0);
		pc_out(w, base + 4, 1, i ? at >> 8 : 0);
		pc_out(w, base + 5, 1, 0);
	}
	pc_out(w, base + 7, 1, fuzz_u8(in));
}

static void ide_packet(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	static const uint8_t known[] = { 0x00, 0x03, 0x12, 0x1b, 0x1e, 0x23, 0x25, 0x28, 0x2b, 0x42, 0x43, 0x46,
		                         0x4a, 0x51, 0x52, 0x55, 0x5a, 0xa8, 0xad, 0xb9, 0xbb, 0xbd, 0xbe };

	pc_out(w, 0x176, 1, 0);
	pc_out(w, 0x171, 1, more & 1);
	pc_out(w, 0x174, 2, fuzz_u16(in));
	pc_out(w, 0x177, 1, 0xa0);
	for (uint32_t i = 0, word; i < 6; i++) {
		word = fuzz_u16(in);
		if (!i && more & 2)
			word = (word & 0xff00) | known[(word & 0xff) % sizeof(known)];
		pc_out(w, 0x170, 2, word);
	}
}

static void ide_start(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	uint32_t at = PC_IDE_PORTS + (more & 1) * 8, how = fuzz_u8(in);

	pc_out(w, at + 4, 4, TABLE + (how & 0xf0) * 8);
	pc_out(w, at, 1, 0);
	pc_out(w, at, 1, how & 9);
}

/* ---- network ---- */

static void tx_ring(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	uint64_t base = more & 1 ? where(in) : TX_RING;

	pc_store(w, PC_NIC + E1000_TDBAL, 4, (uint32_t)base);
	pc_store(w, PC_NIC + E1000_TDBAH, 4, base >> 32);
	pc_store(w, PC_NIC + E1000_TDLEN, 4, more & 2 ? sized(in, 3) : 8 * 16);
	pc_store(w, PC_NIC + E1000_TCTL, 4, 0xaau & ~(more & 4));
}

static void rx_ring(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	uint64_t base = more & 1 ? where(in) : RX_RING;

	pc_store(w, PC_NIC + E1000_RDBAL, 4, (uint32_t)base);
	pc_store(w, PC_NIC + E1000_RDBAH, 4, base >> 32);
	pc_store(w, PC_NIC + E1000_RDLEN, 4, more & 2 ? sized(in, 3) : 8 * 16);
	pc_store(w, PC_NIC + E1000_RCTL, 4, fuzz_u32(in) | (more & 4 ? 0 : RCTL_EN | RCTL_UPE));
	pc_store(w, PC_NIC + E1000_RXCSUM, 4, RXCSUM_IPOFL | RXCSUM_TUOFL);
	pc_store(w, PC_NIC + E1000_RDT, 4, fuzz_u8(in));
}

static void tx_descriptor(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	static const uint32_t kinds[8] = {
		TXD_EOP | TXD_RS | TXD_IFCS,
		TXD_DEXT | TXD_DATA | TXD_EOP | TXD_RS,
		TXD_DEXT | TXD_DATA | TXD_TSE,
		TXD_DEXT | TXD_DATA | TXD_TSE | TXD_EOP | TXD_RS,
		TXD_DEXT | TUCMD_TSE | TUCMD_TCP | TUCMD_IPV4,
		TXD_DEXT | TUCMD_IPV4,
		0,
		TXD_VLE | TXD_IDE | TXD_EOP,
	};
	uint32_t slot = fuzz_u8(in), length = fuzz_u16(in);
	struct e1000_tx_desc d = { where(in), kinds[more] | length | (slot & 0x80 ? fuzz_u32(in) : 0), fuzz_u32(in) };

	put(w, TX_RING + (slot & 7) * 16, &d, sizeof(d));
	pc_store(w, PC_NIC + E1000_TDT, 4, ((slot & 7) + 1) & 7);
}

static void rx_descriptor(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	for (uint32_t i = 0; i <= more; i++) {
		struct e1000_rx_desc d = { where(in), 0, 0, 0, 0, 0 };

		put(w, RX_RING + i * 16, &d, sizeof(d));
	}
	pc_store(w, PC_NIC + E1000_RDT, 4, fuzz_u8(in) & 15);
}

/* A packet to be cut into segments, from where the tail is: its context, its headers and payload in one buffer. */
static void segmentation(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	uint32_t tail = (uint32_t)pc_load(w, PC_NIC + E1000_TDT, 4) & 7, mss = 1 + fuzz_u16(in) % (more & 4 ? 9000u : 300u);
	uint32_t header = 14 + fuzz_u8(in) % 100u, length = fuzz_u16(in) & 0x3fff, kind = fuzz_u8(in);
	uint32_t type = TXD_DEXT | TUCMD_TSE | (kind & 1 ? TUCMD_TCP : 0) | (kind & 2 ? TUCMD_IPV4 : 0);
	uint32_t data = TXD_DEXT | TXD_DATA | TXD_TSE | TXD_EOP | TXD_RS | (kind & 4 ? TXD_VLE : 0) | (kind & 8 ? TXD_IDE : 0);
	struct e1000_tx_desc d[2] = { { 0, type | length, mss << 16 | header << 8 },
		                      { more & 1 ? where(in) : SCRATCH, data | length, 0x300 } };

	/* Where the headers begin and their checksums are. */
	d[0].address = 14u | 24u << 8 | 33u << 16 | (uint64_t)(34u | 50u << 8) << 32;
	if (more & 2)
		d[0].address ^= sized(in, 8);
	for (uint32_t i = 0; i < 2; i++)
		put(w, TX_RING + (tail + i) % 8 * 16, &d[i], sizeof(d[i]));
	pc_store(w, PC_NIC + E1000_TDT, 4, (tail + 2) & 7);
	pc_world_run(w);
}

static void delays(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	static const uint16_t regs[] = { E1000_RDTR, E1000_RADV, E1000_TIDV, E1000_TADV, E1000_ITR };

	if (more & 2)
		pc_store(w, PC_NIC + E1000_CTRL, 4, CTRL_VME | CTRL_RFCE | CTRL_SLU | CTRL_FD);
	pc_store(w, PC_NIC + E1000_IMS, 4, more & 1 ? UINT32_MAX : fuzz_u16(in));
	for (uint32_t i = 0; i < 5; i++)
		pc_store(w, PC_NIC + regs[i], 4, fuzz_u8(in));
}

/* A frame on the wire: of TCP, UDP, PAUSE or anything. */
static void act_frame(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	static const uint8_t heads[4][24] = {
		{ 0, 0x16, 0x3e, 1, 2, 3, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6 },
		{ 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 1, 0x81, 0, 0, 5, 8, 0, 0x45, 0, 0, 40, 0, 0 },
		{ 1, 0x80, 0xc2, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0x88, 8, 0, 1 },
		{ 0, 0x16, 0x3e, 1, 2, 3, 2, 0, 0, 0, 0, 1, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, 6, 64 },
	};
	static uint8_t frame[NETDEV_FRAME_MAX];
	uint32_t length = NETDEV_HEADER + fuzz_u16(in) % (NETDEV_FRAME_MAX - NETDEV_HEADER + 1);
	struct iovec iov = { frame, length };
	struct netdev_frame f = { .iov = &iov, .n_iov = 1, .length = length };
	size_t n;
	const uint8_t *p = fuzz_bytes(in, fuzz_u8(in) % 64u, &n);

	f.offload.flags = more & 2 ? NETDEV_CSUM_VALID : 0;
	memset(frame, 0, sizeof(frame));
	memcpy(frame, heads[more & 3], sizeof(heads[0]));
	/* An IP packet that says how long it is, so that it is looked into. */
	if (n && (more & 3) != 2) {
		uint32_t ip = (more & 3) == 1 ? 18 : 14, total = length - ip - p[0] % 8, v6 = (more & 3) == 3;

		frame[ip + (v6 ? 4 : 2)] = (uint8_t)((total - (v6 ? 40 : 0)) >> 8);
		frame[ip + (v6 ? 5 : 3)] = (uint8_t)(total - (v6 ? 40 : 0));
		frame[ip + (v6 ? 6 : 9)] = p[0] & 0x80 ? 17 : 6;
	}
	memcpy(frame + (more & 4 ? 0 : 24), p, n);
	w->net.front.receive(w->net.front.opaque, &f, 1);
}

/* The other end of the cable. */
static void act_cable(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	switch (more & 3) {
	case 0:
		w->net.front.link(w->net.front.opaque, more >> 2);
		break;
	case 1:
		w->net.room = fuzz_u8(in) & 0x80 ? UINT32_MAX : fuzz_u8(in);
		break;
	default:
		w->net.front.writable(w->net.front.opaque);
		break;
	}
}

static void phy(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	uint32_t reg = fuzz_u8(in) & 31, data = fuzz_u16(in);

	pc_store(w, PC_NIC + E1000_MDIC, 4, (more & 1 ? MDIC_WRITE : MDIC_READ) | 1u << 21 | reg << 16 | data);
}

/* Bits into the EEPROM, most significant first. */
static void eeprom(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	uint32_t n = fuzz_u8(in) % 33, bits = fuzz_u32(in);

	if (!(more & 1))
		pc_store(w, PC_NIC + E1000_EECD, 4, EECD_REQ);
	for (uint32_t i = 0; i < n; i++) {
		uint32_t value = EECD_REQ | EECD_CS | (bits >> (31 - i) & 1 ? EECD_DI : 0);

		pc_store(w, PC_NIC + E1000_EECD, 4, value);
		pc_store(w, PC_NIC + E1000_EECD, 4, value | EECD_SK);
	}
	pc_load(w, PC_NIC + E1000_EECD, 4);
}

/* Registers by name, because few of their offsets are any. */
static void nic_register(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	static const uint16_t regs[] = {
		E1000_CTRL,  E1000_STATUS, E1000_EECD,   E1000_EERD,   E1000_CTRL_EXT, E1000_MDIC,  E1000_FCAL,
		E1000_FCAH,  E1000_FCT,    E1000_VET,    E1000_ICR,    E1000_ITR,      E1000_ICS,   E1000_IMS,
		E1000_IMC,   E1000_RCTL,   E1000_FCTTV,  E1000_TXCW,   E1000_RXCW,     E1000_TCTL,  E1000_TIPG,
		E1000_AIT,   E1000_LEDCTL, E1000_PBA,    E1000_FCRTL,  E1000_FCRTH,    E1000_RDFH,  E1000_RDBAL,
		E1000_RDBAH, E1000_RDLEN,  E1000_RDH,    E1000_RDT,    E1000_RDTR,     E1000_RXDCTL, E1000_RADV,
		E1000_RSRPD, E1000_TXDMAC, E1000_TDFH,   E1000_TDFPC,  E1000_TDBAL,    E1000_TDBAH, E1000_TDLEN,
		E1000_TDH,   E1000_TDT,    E1000_TIDV,   E1000_TXDCTL, E1000_TADV,     E1000_TSPMT, E1000_TORL,
		E1000_GPTC,  E1000_RXCSUM, E1000_MTA,    E1000_RAL,    E1000_RAH,      E1000_VFTA,  E1000_WUC,
		E1000_WUS,   E1000_MANC,   E1000_FFLT,   E1000_GORCL,  E1000_TOTL,     E1000_XONRXC,
	};
	uint32_t reg = regs[fuzz_u8(in) % (sizeof(regs) / sizeof(regs[0]))];

	if (more & 1)
		pc_load(w, PC_NIC + reg, 4);
	else if (!(more & 2))
		pc_store(w, PC_NIC + reg, 4, fuzz_u32(in));
	else
		/* By way of the two ports. */
		for (uint32_t i = 0; i < 2; i++)
			pc_out(w, PC_NIC_PORTS + 4 * i, 4, i ? fuzz_u32(in) : reg);
}

/* ---- the chip set ---- */

static void fw_cfg(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	uint8_t s[16] = { 0 };
	uint32_t key = fuzz_u16(in), control = fuzz_u8(in), length = (uint32_t)fuzz_u16(in) << (more & 1 ? 16 : 0);
	uint64_t to = where(in), from = more & 2 ? where(in) : FW_DMA;

	s[0] = (uint8_t)(key >> 8);
	s[1] = (uint8_t)key;
	s[3] = (uint8_t)control;
	for (uint32_t i = 0; i < 4; i++)
		s[4 + i] = (uint8_t)(length >> (24 - 8 * i));
	for (uint32_t i = 0; i < 8; i++)
		s[8 + i] = (uint8_t)(to >> (56 - 8 * i));
	put(w, from, s, sizeof(s));
	pc_out(w, 0x514, 4, __builtin_bswap32((uint32_t)(from >> 32)));
	pc_out(w, 0x518, 4, __builtin_bswap32((uint32_t)from));
}

static void fw_cfg_item(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	uint8_t buf[MANY];

	pc_out(w, 0x510, 2, fuzz_u8(in) | (more & 1) << 15);
	bus_pio_many(&w->bus, 0x511, 1, false, buf, 1 + fuzz_u8(in));
}

static void lapic_register(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	uint32_t reg = fuzz_u8(in) & 0x3f;

	if (more & 1)
		pc_load(w, LAPIC + reg * 16, 4);
	else
		pc_store(w, LAPIC + reg * 16, 4, fuzz_u32(in));
}

/* An IPI of any kind by the page, or by the MSR. */
static void ipi(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	uint32_t low = fuzz_u8(in) | (uint32_t)fuzz_u8(in) << 8 | (uint32_t)(more >> 1) << 18, to = fuzz_u8(in);

	if (more & 1) {
		if (to & 0x80)
			pc_wrmsr(w, APIC_BASE, LAPIC | 0xc00 | (w->f->current ? 0 : 0x100));
		pc_wrmsr(w, X2APIC + 0x30, (uint64_t)to << 32 | low);
		pc_wrmsr(w, X2APIC + 0x3f, low & 0xff);
		return;
	}
	pc_store(w, LAPIC + 0x310, 4, to << 24);
	pc_store(w, LAPIC + 0x300, 4, low);
}

/* INIT and STARTUP for the other one, by an APIC that is on; and pins that lead somewhere. */
static void wake(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	uint32_t to = (uint32_t)fuzz_u8(in) << 24, page = fuzz_u8(in);

	pc_store(w, LAPIC + 0xf0, 4, 0x1ff);
	pc_store(w, LAPIC + 0x350, 4, (uint32_t)(page & 7) << 8 | (page & 0x10 ? 0x8000 : 0) | fuzz_u8(in));
	pc_store(w, LAPIC + 0x360, 4, (uint32_t)more << 8 | (page & 0x20 ? 0x8000 : 0) | fuzz_u8(in));
	pc_store(w, LAPIC + 0x370, 4, page);
	pc_store(w, LAPIC + 0x310, 4, more & 1 ? 1u << 24 : to);
	pc_store(w, LAPIC + 0x300, 4, 0x4500);
	if (more & 2)
		pc_store(w, LAPIC + 0x300, 4, 0x8500);
	pc_store(w, LAPIC + 0x310, 4, more & 1 ? 1u << 24 : to);
	pc_store(w, LAPIC + 0x300, 4, 0x4600 | page);
}

/* How the logical destinations are, and to them. */
static void logical(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	pc_store(w, LAPIC + 0xf0, 4, 0x1ff);
	pc_store(w, LAPIC + 0xe0, 4, more & 1 ? UINT32_MAX : more & 2 ? 0x0fffffff : fuzz_u32(in));
	pc_store(w, LAPIC + 0xd0, 4, (uint32_t)fuzz_u8(in) << 24);
	pc_store(w, LAPIC + 0x310, 4, (uint32_t)fuzz_u8(in) << 24);
	pc_store(w, LAPIC + 0x300, 4, 0x4800 | (more & 4 ? 0x100 : 0) | fuzz_u8(in));
}

static void power(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	pc_out(w, PC_PM_PORTS + 2, 2, more & 1 ? 0x121 : fuzz_u16(in));
	pc_out(w, PC_PM_PORTS + 4, 2, 1 | (more & 2 ? (uint32_t)fuzz_u16(in) : 0));
	pc_out(w, PC_PM_PORTS, 2, fuzz_u16(in));
	pc_in(w, PC_PM_PORTS + 8, 4);
}

/* SET FEATURES and whatever else looks at the features register. */
static void features(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	uint32_t base = more & 1 ? 0x170 : 0x1f0;

	pc_out(w, base + 6, 1, (more & 2) << 3);
	pc_out(w, base + 1, 1, fuzz_u8(in));
	pc_out(w, base + 2, 1, fuzz_u8(in));
	pc_out(w, base + 7, 1, more & 4 ? fuzz_u8(in) : 0xef);
}

static void lapic_timer(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	pc_store(w, LAPIC + 0xf0, 4, 0x1ff);
	pc_store(w, LAPIC + 0x3e0, 4, fuzz_u8(in));
	pc_store(w, LAPIC + 0x320, 4, (more & 3) << 17 | fuzz_u8(in));
	pc_store(w, LAPIC + 0x380, 4, sized(in, more & 4 ? 4 : 2));
	pc_load(w, LAPIC + 0x390, 4);
}

static void redirection(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	uint32_t reg = 0x10 + 2 * (fuzz_u8(in) % 26u);

	pc_store(w, GAMUT_IOAPIC_BASE, 4, reg + (more & 1));
	pc_store(w, GAMUT_IOAPIC_BASE + 0x10, 4, fuzz_u32(in));
	if (!(more & 1)) {
		pc_store(w, GAMUT_IOAPIC_BASE, 4, reg + 1);
		pc_store(w, GAMUT_IOAPIC_BASE + 0x10, 4, (uint32_t)fuzz_u8(in) << 24);
	}
}

static void pic(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	uint32_t base = more & 1 ? 0xa0 : 0x20;

	pc_out(w, base, 1, 0x11 | fuzz_u8(in));
	for (uint32_t i = 0; i < 3; i++)
		pc_out(w, base + 1, 1, fuzz_u8(in));
	pc_out(w, base + 1, 1, more & 2 ? 0 : fuzz_u8(in));
}

static void pit(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	uint32_t counter = (more & 3) % 3;

	pc_out(w, 0x43, 1, counter << 6 | (fuzz_u8(in) & 0x3f));
	for (uint32_t i = 0; i < 2; i++)
		pc_out(w, 0x40 + counter, 1, fuzz_u8(in));
	if (more & 4)
		pc_out(w, 0x61, 1, fuzz_u8(in));
}

/* A pair of index and data, somewhere. */
static void indexed(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	static const uint16_t pairs[4] = { 0x70, 0x3c4, 0x3ce, 0x3d4 };
	uint32_t base = pairs[more & 3];

	pc_out(w, base, 1, fuzz_u8(in));
	if (more & 4)
		pc_in(w, base + 1, 1);
	else
		pc_out(w, base + 1, 1, fuzz_u8(in));
}

static void attribute(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	pc_in(w, 0x3da, 1);
	pc_out(w, 0x3c0, 1, fuzz_u8(in));
	if (more & 1)
		pc_in(w, 0x3c1, 1);
	else
		pc_out(w, 0x3c0, 1, fuzz_u8(in));
}

static void keyboard(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	if (more & 1)
		pc_out(w, 0x64, 1, fuzz_u8(in));
	pc_out(w, 0x60, 1, fuzz_u8(in));
	pc_in(w, 0x60, 1);
	pc_in(w, 0x64, 1);
}

static void smbus(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	for (uint32_t i = 2; i < 6; i++)
		pc_out(w, PC_SMB_PORTS + i, 1, fuzz_u8(in));
	pc_in(w, PC_SMB_PORTS + (more & 1), 1);
}

/* ---- MSI ---- */

static void msi(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	uint32_t at = pc_config(w, PC_DEVFN_OWN, 0x34, 1), cap = at;
	uint64_t to = more & 4 ? where(in) : LAPIC + ((uint64_t)fuzz_u8(in) << 12);

	/* 5: MSI, 17: MSI-X. */
	for (uint32_t i = 0; i < 8 && cap && pc_config(w, PC_DEVFN_OWN, cap, 1) != (more & 1 ? 17u : 5u); i++)
		cap = pc_config(w, PC_DEVFN_OWN, cap + 1, 1);
	if (!cap)
		return;
	if (more & 1) {
		uint32_t n = fuzz_u8(in) % 16;

		for (uint32_t i = 0; i < 4; i++)
			pc_store(w, PC_OWN_MSIX + n * 16 + 4 * i, 4, i == 0 ? (uint32_t)to : i == 1 ? to >> 32 : fuzz_u8(in));
	} else {
		pc_set_config(w, PC_DEVFN_OWN, cap + 4, 4, (uint32_t)to);
		pc_set_config(w, PC_DEVFN_OWN, cap + 8, 4, (uint32_t)(to >> 32));
		pc_set_config(w, PC_DEVFN_OWN, cap + 12, 2, fuzz_u8(in));
		pc_set_config(w, PC_DEVFN_OWN, cap + 16, 4, fuzz_u8(in));
	}
	pc_set_config(w, PC_DEVFN_OWN, cap + 2, 2, (uint32_t)fuzz_u8(in) << 8 | fuzz_u8(in));
	if (more & 2) {
		pc_set_config(w, PC_DEVFN_OWN, cap + 2, 2, more & 1 ? 0x8000 : 0x31);
		pc_store(w, PC_OWN + 4, 4, fuzz_u8(in) % 16);
	}
}

/* What the function is told to do, through any of its windows. */
static void own(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	static const uint8_t regs[8] = { 0, 4, 4, 8, 16, 20, 0, 4 };

	if (more == 3)
		pc_store(w, PC_OWN + 8, 8, where(in));
	else
		pc_store(w, PC_OWN + regs[more], 4, fuzz_u8(in));
}

static void (*const templates[])(struct pc_world *w, struct fuzz_input *in, uint32_t more) = {
	prds,     ide_command,  ide_packet, ide_start,      tx_ring,     rx_ring,     tx_descriptor, rx_descriptor,
	phy,      eeprom,       nic_register, nic_register, fw_cfg,      fw_cfg_item, lapic_register, ipi,
	lapic_timer, redirection, pic,      pit,            indexed,     attribute,   keyboard,      smbus,
	msi,      own,          segmentation, delays,       wake,        logical,     power,         features,
};

static void act_template(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	templates[fuzz_u8(in) % (sizeof(templates) / sizeof(templates[0]))](w, in, more);
}

/* ---- several devices at once ---- */

/* A level-triggered interrupt all the way: asked for, delivered, ended while it is asked for and after. */
static void act_level(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	uint32_t pin = more & 4 ? fuzz_u8(in) % 24 : 10 + (more & 1), vector = fuzz_u8(in), ends = fuzz_u8(in);
	const struct gamut_irq_source *irq = w->f->irq;

	pc_store(w, LAPIC + 0xf0, 4, 0x1ff | (ends & 0x80 ? 0x1000 : 0));
	pc_store(w, GAMUT_IOAPIC_BASE, 4, 0x11 + 2 * pin);
	pc_store(w, GAMUT_IOAPIC_BASE + 0x10, 4, more & 2 ? 1u << 24 : 0);
	pc_store(w, GAMUT_IOAPIC_BASE, 4, 0x10 + 2 * pin);
	pc_store(w, GAMUT_IOAPIC_BASE + 0x10, 4, 0x8000 | vector);
	pc_store(w, PC_OWN, 4, 1);
	pc_out(w, 0x2000 + pin, 1, 1);
	for (uint32_t i = 0; i < 4; i++) {
		irq->accept(w->f->irq_opaque, w->f->current);
		if (ends >> i & 1)
			pc_store(w, LAPIC + 0xb0, 4, 0);
		if (ends >> i & 0x10) {
			pc_store(w, PC_OWN, 4, 0);
			pc_out(w, 0x2000 + pin, 1, 0);
		}
	}
}

/* The bus master is stopped, or loses the bus, in the middle of a transfer that the host takes its time for. */
static void act_stopped(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	uint32_t entry[2] = { SCRATCH, 0x80000000 | fuzz_u8(in) << 8 }, n = fuzz_u8(in), to_memory = more & 1 ? 8 : 0;

	put(w, TABLE, entry, sizeof(entry));
	w->disk[0].hold = true;
	pc_out(w, 0x1f6, 1, 0xe0);
	pc_out(w, 0x1f2, 1, n & 0x7f);
	for (uint32_t i = 3; i < 6; i++)
		pc_out(w, 0x1f0 + i, 1, i == 3 ? n >> 3 : 0);
	pc_out(w, 0x1f7, 1, to_memory ? 0xc8 : 0xca);
	pc_out(w, PC_IDE_PORTS + 4, 4, TABLE);
	pc_out(w, PC_IDE_PORTS, 1, 1 | to_memory);
	pc_world_run(w);
	if (more & 2)
		pc_out(w, PC_IDE_PORTS, 1, to_memory);
	if (more & 4)
		pc_out(w, 0x3f6, 1, 4);
	if (n & 0x80)
		pc_set_config(w, PC_DEVFN_IDE, 4, 2, 1);
}

/* ---- around the guest ---- */

static void act_cr8(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	if (!w->f->cr8_write)
		return;
	if (more & 1)
		FUZZ_CHECK(w->f->cr8_read(w->f->cr8_opaque, w->f->current) < 16);
	else
		w->f->cr8_write(w->f->cr8_opaque, w->f->current, fuzz_u8(in) & 15);
}

static void act_time(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	uint64_t ns = fuzz_u8(in) * unit_ns[more & 3];

	/* The wall clock may be set, too. */
	pc_thread_wall += (int64_t)(more & 4 ? ns * 1000 : ns);
	for (uint64_t step; ns && w->spent < SPENT_MAX; ns -= step) {
		step = ns < unit_ns[3] ? ns : unit_ns[3];
		host_fake_advance(w->f, step);
		pc_world_run(w);
		pc_world_action(w);
	}
}

static void act_block(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	uint8_t what = fuzz_u8(in);
	struct block_fake *b = &w->disk[what % PC_DISKS];

	switch (more) {
	case 0:
		b->hold = !b->hold;
		break;
	case 1:
		b->at_once = !b->at_once;
		break;
	case 2:
		b->bad_at = what * 512u;
		b->bad_len = fuzz_u8(in);
		break;
	case 3:
		b->fail = b->fail ? 0 : -5;
		break;
	case 4:
		b->refuse = b->refuse ? 0 : -5;
		break;
	default:
		block_fake_complete(b);
		break;
	}
}

static void act_serial(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	size_t n;
	const uint8_t *p = fuzz_bytes(in, fuzz_u8(in) & 63, &n);

	w->serial_room = more & 1 ? fuzz_u8(in) * 32u : 0;
	w->serial->send(w->platform, more >> 2, p, (uint32_t)n);
	w->serial->kick(w->platform, more >> 2);
}

static void act_key(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	w->keyboard->key(w->platform, more & 2 ? fuzz_u16(in) : fuzz_u8(in), more & 1);
}

static void act_interrupt(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	const struct gamut_irq_source *irq = w->f->irq;
	uint32_t n = 0;

	(void)in;
	do {
		int pending = irq->pending(w->f->irq_opaque, w->f->current);
		int vector = irq->accept(w->f->irq_opaque, w->f->current);

		FUZZ_CHECK(vector >= -1 && vector < 256);
		FUZZ_CHECK(pending || vector < 0);
		if (vector < 0)
			break;
		if (more & 2)
			pc_store(w, LAPIC + 0xb0, 4, 0);
		if (more & 4)
			pc_out(w, 0x20, 1, 0x20);
	} while (more & 1 && ++n < ACCEPTS);
}

static void act_run(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	(void)in;
	(void)more;
	pc_world_run(w);
}

static void act_vcpu(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	(void)in;
	w->f->current = more & 1 && w->f->vcpus > 1;
	/* The button on the board. */
	if (more == 7)
		w->lines->nmi(w->intr);
}

static void act_look(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	static struct gamut_text_cell cells[CELLS];
	struct gamut_text_screen s = { .size = sizeof(s) };
	uint32_t n = w->screen->look(w->platform, &s, cells, more & 1 ? CELLS : fuzz_u8(in));

	w->screen->generation(w->platform);
	FUZZ_CHECK(s.graphics || n == s.columns * s.rows);
	FUZZ_CHECK(!s.cursor_on || (s.cursor_row < s.rows && s.cursor_column < s.columns));
}

static void act_life(struct pc_world *w, struct fuzz_input *in, uint32_t more)
{
	(void)in;
	if (more & 1) {
		pc_world_reset(w);
		return;
	}
	pc_world_pause(w);
	if (more & 2)
		pc_thread_wall += 3600 * 1000000000ll;
	pc_world_resume(w);
}

static void (*const actions[32])(struct pc_world *w, struct fuzz_input *in, uint32_t more) = {
	act_out,       act_out,      act_in,       act_outs,      act_ins,       act_store,     act_store,
	act_load,      act_config_write, act_config_read, act_wrmsr, act_rdmsr,  act_apic_base, act_memory,
	act_frame,     act_cable,    act_template, act_template,  act_template,  act_template,  act_cr8,
	act_time,      act_block,    act_serial,   act_key,       act_interrupt, act_run,       act_vcpu,
	act_look,      act_life,     act_level,    act_stopped,
};

/* ---- the target ---- */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct pc_world *w = pc_world_begin(fuzz_u8(&in));

	while (in.left && w->spent < SPENT_MAX) {
		uint8_t what = fuzz_u8(&in);

		actions[what & 31](w, &in, what >> 5);
		pc_world_action(w);
		/* As the core does when the guest has asked for it. */
		if (w->f->ended >= 0)
			pc_world_reset(w);
	}
	pc_world_check(w);
	pc_world_end(w);
	return 0;
}
