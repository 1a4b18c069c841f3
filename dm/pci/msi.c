/* SPDX-License-Identifier: MIT */
/*
 * Message signalled interrupts: MSI with 64-bit addresses and a mask for each
 * vector, and MSI-X. PCI Local Bus Specification 3.0, 6.8.
 *
 * The table of MSI-X is at the start of its BAR, the pending bits in its
 * second half.
 */
#include "dm/pci/pci.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CAP_MSI 0x05u
#define CAP_MSIX 0x11u
#define MSI_BYTES 24u
#define MSIX_BYTES 12u
#define MSI_MAX 32u
#define MSIX_MAX 2048u
#define ENTRY 16u /* of the table: address, upper address, data, control */
#define BAR_LEAST 4096u

/* MSI: offsets in the capability. */
enum { MSI_CONTROL = 2, MSI_ADDRESS = 4, MSI_UPPER = 8, MSI_DATA = 12, MSI_MASK = 16, MSI_PENDING = 20 };
#define MSI_ENABLE 0x0001u
#define MSI_64 0x0080u
#define MSI_MASKABLE 0x0100u

enum { MSIX_CONTROL = 2, MSIX_TABLE = 4, MSIX_PBA = 8 };
#define MSIX_ENABLE 0x8000u
#define MSIX_MASK_ALL 0x4000u

/* ---- building ---- */

/* Room for a capability where the function has no registers of its own; 0: there is none. */
static uint32_t place(const struct gamut_pci_function *f, uint32_t from, uint32_t bytes)
{
	uint32_t own = f->desc.config_at, own_end = own + f->desc.n_config;

	if (from < own_end && from + bytes > own)
		from = (own_end + 3) & ~3u;
	return from + bytes <= PCI_CONFIG ? from : 0;
}

/* Puts a capability before those that are there. */
static void link(struct gamut_pci_function *f, uint32_t at, uint8_t id)
{
	pci_put(f, at, 1, id);
	pci_put(f, at + 1, 1, pci_get(f, PCI_REG_CAPABILITIES, 1));
	pci_put(f, PCI_REG_CAPABILITIES, 1, at);
	pci_put(f, PCI_REG_STATUS, 2, pci_get(f, PCI_REG_STATUS, 2) | PCI_STATUS_CAPABILITIES);
}

static void set_mask(struct gamut_pci_function *f, uint32_t at, uint32_t bytes, uint32_t mask)
{
	memcpy(f->mask + at, &mask, bytes);
}

static int build_msi(struct gamut_pci_function *f)
{
	uint32_t n = f->desc.msi_vectors, log = (uint32_t)__builtin_ctz(n | MSI_MAX);
	uint32_t at = place(f, PCI_REG_OWN, MSI_BYTES);

	if (n > MSI_MAX || n & (n - 1) || !at)
		return -EINVAL;
	f->msi_at = at;
	link(f, at, CAP_MSI);
	pci_put(f, at + MSI_CONTROL, 2, log << 1 | MSI_64 | MSI_MASKABLE);
	set_mask(f, at + MSI_CONTROL, 2, MSI_ENABLE | 7u << 4);
	set_mask(f, at + MSI_ADDRESS, 4, ~3u);
	set_mask(f, at + MSI_UPPER, 4, UINT32_MAX);
	set_mask(f, at + MSI_DATA, 2, UINT16_MAX);
	set_mask(f, at + MSI_MASK, 4, n == MSI_MAX ? UINT32_MAX : (1u << n) - 1);
	return 0;
}

static int build_msix(struct gamut_pci_function *f)
{
	const struct gamut_pci_desc *d = &f->desc;
	uint32_t n = d->msix_vectors, at = place(f, f->msi_at ? f->msi_at + MSI_BYTES : PCI_REG_OWN, MSIX_BYTES);
	const struct gamut_pci_bar *bar = d->msix_bar < GAMUT_PCI_BARS ? &d->bar[d->msix_bar] : NULL;

	if (n > MSIX_MAX || !at || !bar || bar->ops || bar->size < BAR_LEAST || n * ENTRY > bar->size / 2 ||
	    (bar->kind != GAMUT_PCI_BAR_MEM32 && bar->kind != GAMUT_PCI_BAR_MEM64) || bar->size > 1ull << 31)
		return -EINVAL;
	f->msix_table = calloc(n, ENTRY);
	f->msix_pending = calloc((n + 63) / 64, sizeof(*f->msix_pending));
	if (!f->msix_table || !f->msix_pending)
		return -ENOMEM;
	f->msix_at = at;
	link(f, at, CAP_MSIX);
	pci_put(f, at + MSIX_CONTROL, 2, n - 1);
	pci_put(f, at + MSIX_TABLE, 4, d->msix_bar);
	pci_put(f, at + MSIX_PBA, 4, (uint32_t)(bar->size / 2) | d->msix_bar);
	set_mask(f, at + MSIX_CONTROL, 2, MSIX_ENABLE | MSIX_MASK_ALL);
	return 0;
}

int pci_msi_build(struct gamut_pci_function *f)
{
	int rc = f->desc.msi_vectors ? build_msi(f) : 0;

	if (!rc && f->desc.msix_vectors)
		rc = build_msix(f);
	if (!rc)
		pci_msi_reset(f);
	return rc;
}

/* All vectors masked (6.8.2.9), nothing pending. */
void pci_msi_reset(struct gamut_pci_function *f)
{
	f->msi_pending = 0;
	if (!f->msix_table)
		return;
	memset(f->msix_table, 0, f->desc.msix_vectors * ENTRY);
	memset(f->msix_pending, 0, (f->desc.msix_vectors + 63) / 64 * sizeof(*f->msix_pending));
	for (uint32_t i = 0; i < f->desc.msix_vectors; i++)
		f->msix_table[i * ENTRY + 12] = 1;
}

void pci_msi_finish(struct gamut_pci_function *f)
{
	free(f->msix_table);
	free(f->msix_pending);
	f->msix_table = NULL;
	f->msix_pending = NULL;
}

/* ---- sending: msi_lock held ---- */

static bool msi_enabled(const struct gamut_pci_function *f)
{
	return f->msi_at && pci_get(f, f->msi_at + MSI_CONTROL, 2) & MSI_ENABLE;
}

static uint32_t msix_control(const struct gamut_pci_function *f)
{
	return f->msix_at ? pci_get(f, f->msix_at + MSIX_CONTROL, 2) : 0;
}

bool pci_msi_on(const struct gamut_pci_function *f)
{
	return msi_enabled(f) || msix_control(f) & MSIX_ENABLE;
}

/* A message is a write to memory by the function: without bus mastering there is none. */
static void post(struct gamut_pci_function *f, uint64_t address, uint32_t data)
{
	if (!(pci_get(f, PCI_REG_COMMAND, 2) & PCI_COMMAND_MASTER))
		return;
	__atomic_fetch_add(f->bus->messages, 1, __ATOMIC_RELAXED);
	f->bus->config.message(f->bus->config.opaque, address, data);
}

static uint32_t msi_allocated(const struct gamut_pci_function *f)
{
	uint32_t n = 1u << (pci_get(f, f->msi_at + MSI_CONTROL, 2) >> 4 & 7);

	return n > f->desc.msi_vectors ? f->desc.msi_vectors : n;
}

/* With fewer vectors than were asked for, several share one. */
static void send_msi(struct gamut_pci_function *f, uint32_t n)
{
	uint32_t at = f->msi_at, allocated = msi_allocated(f), data = pci_get(f, at + MSI_DATA, 2);

	n &= allocated - 1;
	if (pci_get(f, at + MSI_MASK, 4) >> n & 1) {
		f->msi_pending |= 1u << n;
	} else {
		f->msi_pending &= ~(1u << n);
		post(f, (uint64_t)pci_get(f, at + MSI_UPPER, 4) << 32 | pci_get(f, at + MSI_ADDRESS, 4),
		     (data & ~(allocated - 1)) | n);
	}
	pci_put(f, at + MSI_PENDING, 4, f->msi_pending);
}

static void send_msix(struct gamut_pci_function *f, uint32_t n)
{
	uint64_t address, bit = 1ull << (n & 63);
	const uint8_t *entry = f->msix_table + n * ENTRY;
	uint32_t data;

	if (msix_control(f) & MSIX_MASK_ALL || entry[12] & 1) {
		f->msix_pending[n / 64] |= bit;
		return;
	}
	f->msix_pending[n / 64] &= ~bit;
	memcpy(&address, entry, 8);
	memcpy(&data, entry + 8, 4);
	post(f, address, data);
}

int pci_msi_message(struct gamut_pci_function *f, uint32_t n)
{
	int rc = 0;

	pthread_mutex_lock(&f->msi_lock);
	if (msix_control(f) & MSIX_ENABLE && n < f->desc.msix_vectors)
		send_msix(f, n);
	else if (msi_enabled(f) && n < f->desc.msi_vectors)
		send_msi(f, n);
	else
		rc = -ENOENT;
	pthread_mutex_unlock(&f->msi_lock);
	return rc;
}

static void send_waiting(struct gamut_pci_function *f)
{
	if (msi_enabled(f)) {
		for (uint32_t left = f->msi_pending & ~pci_get(f, f->msi_at + MSI_MASK, 4); left; left &= left - 1)
			send_msi(f, (uint32_t)__builtin_ctz(left));
	}
	if ((msix_control(f) & (MSIX_ENABLE | MSIX_MASK_ALL)) != MSIX_ENABLE)
		return;
	for (uint32_t i = 0; i < (f->desc.msix_vectors + 63) / 64; i++) {
		for (uint64_t left = f->msix_pending[i]; left; left &= left - 1)
			send_msix(f, i * 64 + (uint32_t)__builtin_ctzll(left));
	}
}

void pci_msi_written(struct gamut_pci_function *f)
{
	if (!f->msi_at && !f->msix_at)
		return;
	pthread_mutex_lock(&f->msi_lock);
	send_waiting(f);
	pthread_mutex_unlock(&f->msi_lock);
}

/* ---- the table's BAR ---- */

static uint8_t *table_at(struct gamut_pci_function *f, uint64_t offset, uint32_t width)
{
	uint64_t size = (uint64_t)f->desc.msix_vectors * ENTRY;

	return offset < size && width <= size - offset ? f->msix_table + offset : NULL;
}

static uint64_t table_read(void *opaque, uint64_t offset, uint32_t width)
{
	struct gamut_pci_function *f = opaque;
	uint64_t value = 0, half = f->desc.bar[f->desc.msix_bar].size / 2;
	uint64_t pending = (f->desc.msix_vectors + 63) / 64 * sizeof(*f->msix_pending);
	const uint8_t *from;

	pthread_mutex_lock(&f->msi_lock);
	from = table_at(f, offset, width);
	if (!from && offset >= half && offset - half < pending && width <= pending - (offset - half))
		from = (const uint8_t *)f->msix_pending + (offset - half);
	if (from)
		memcpy(&value, from, width);
	pthread_mutex_unlock(&f->msi_lock);
	return value;
}

/* Only words and double words are written (6.8.2); a byte is ignored. */
static void table_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct gamut_pci_function *f = opaque;
	uint8_t *to;

	if ((width != 4 && width != 8) || offset % width)
		return;
	pthread_mutex_lock(&f->msi_lock);
	to = table_at(f, offset, width);
	if (to) {
		memcpy(to, &value, width);
		f->msix_table[offset / ENTRY * ENTRY] &= (uint8_t)~3u;
		if (msix_control(f) & MSIX_ENABLE && f->msix_pending[offset / ENTRY / 64] >> (offset / ENTRY & 63) & 1)
			send_msix(f, (uint32_t)(offset / ENTRY));
	}
	pthread_mutex_unlock(&f->msi_lock);
}

const struct gamut_io_ops pci_msix_ops = {
	.size = sizeof(struct gamut_io_ops),
	.read = table_read,
	.write = table_write,
};
