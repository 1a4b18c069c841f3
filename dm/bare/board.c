/* SPDX-License-Identifier: MIT */
#include "dm/bare/board.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "dm/pc/lapic.h"

#define PAGE 4096u

/* The reset control register of PCs, as good a place as any: it is found through the FADT. */
#define RESET_PORT 0xcf9u
#define RESET_VALUE 0x06u /* "reset the processor, and hard" */
#define SLEEP_PORT 0x604u
#define SLEEP_PORTS 2u    /* control, status */
#define COM1_PORT 0x3f8u
#define COM1_LINE 4u

/* ---- reset, sleep ---- */

static uint64_t read_zero(void *opaque, uint64_t offset, uint32_t width)
{
	(void)opaque;
	(void)offset;
	(void)width;
	return 0;
}

static void reset_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct bare_board *b = opaque;

	(void)offset;
	(void)width;
	if ((value & RESET_VALUE) != RESET_VALUE)
		return;
	__atomic_fetch_add(b->resets, 1, __ATOMIC_RELAXED);
	b->host->domain_end(b->inst, GAMUT_END_REBOOT);
}

static void sleep_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct bare_board *b = opaque;

	(void)width;
	if (offset == 0 && (value & 0x3f) == ACPI_SLEEP_OFF)
		b->host->domain_end(b->inst, GAMUT_END_POWEROFF);
}

static const struct gamut_io_ops reset_ops = { sizeof(reset_ops), read_zero, reset_write, NULL, NULL };
static const struct gamut_io_ops sleep_ops = { sizeof(sleep_ops), read_zero, sleep_write, NULL, NULL };

/*
 * Kernels that find hardware-reduced ACPI take it for a machine with EFI, and
 * restart by that rather than by the register (Linux, efi_reboot_required).
 * Where there is no EFI either, they jump to where a PC's processor starts, and
 * there the register is written.
 */
#define ENTRY_GPA 0xffff0u

static const uint8_t entry[] = {
	0xb0, RESET_VALUE,                           /* mov $6, %al */
	0xba, RESET_PORT & 0xff, RESET_PORT >> 8,    /* mov $0xcf9, %dx */
	0xee,                                        /* out %al, (%dx) */
	0xf4, 0xeb, 0xfd,                            /* 1: hlt; jmp 1b */
};

static int place_entry(struct bare_board *b)
{
	int rc = b->pages && !b->xen ? b->host->mem_write(b->inst, ENTRY_GPA, entry, sizeof(entry)) : 0;

	return rc ? b->host->fail(b->inst, -rc, "there is no memory for the way to reset: %s", strerror(-rc)) : 0;
}

/* ---- port 0x61, as far as it is the 8254's ---- */

enum { P61_GATE = 1, P61_HELD = 3, P61_REFRESH = 16, P61_OUTPUT = 32 };

static uint64_t port_61_read(void *opaque, uint64_t offset, uint32_t width)
{
	struct bare_board *b = opaque;

	(void)offset;
	(void)width;
	return __atomic_load_n(&b->port_61, __ATOMIC_RELAXED) | (b->lines->refresh(b->lines_self) ? P61_REFRESH : 0) |
	       (b->lines->speaker_output(b->lines_self) ? P61_OUTPUT : 0);
}

static void port_61_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct bare_board *b = opaque;

	(void)offset;
	(void)width;
	__atomic_store_n(&b->port_61, (uint8_t)(value & P61_HELD), __ATOMIC_RELAXED);
	b->lines->speaker_gate(b->lines_self, value & P61_GATE);
}

static const struct gamut_io_ops port_61_ops = { sizeof(port_61_ops), port_61_read, port_61_write, NULL, NULL };

/* ---- the tables ---- */

uint64_t bare_board_tables(const struct bare_board *b)
{
	return b->bytes;
}

/* Room for all devices that there may be. */
static int make_tables(struct bare_board *b)
{
	uint32_t n = b->host->vcpu_count(b->inst);

	b->apic_id = calloc(n, sizeof(*b->apic_id));
	if (!b->apic_id)
		return b->host->fail(b->inst, ENOMEM, "out of memory");
	for (uint32_t i = 0; i < n; i++)
		b->apic_id[i] = lapic_id_of(i);
	b->acpi = (struct acpi_config){
		.apic_id = b->apic_id,
		.n_cpus = n,
		.reset_port = RESET_PORT,
		.reset_value = RESET_VALUE,
		.sleep_port = SLEEP_PORT,
		.ioapic = (uint32_t)GAMUT_IOAPIC_BASE,
		.devices = b->devices,
	};
	b->bytes = acpi_size(&b->acpi) + sizeof(b->devices) / sizeof(b->devices[0]) * ACPI_DEVICE_BYTES;
	b->bytes = (b->bytes + PAGE - 1) & ~(uint64_t)(PAGE - 1);
	b->pages = b->host->page_alloc(b->inst, (uint32_t)(b->bytes / PAGE), &b->tables);
	return b->pages ? 0 : b->host->fail(b->inst, ENOMEM, "no memory for the ACPI tables");
}

static int place_tables(struct bare_board *b)
{
	const struct gamut_host *host = b->host;
	int rc;

	if (!b->pages)
		return 0;
	memset(b->tables, 0, b->bytes);
	rc = acpi_build(&b->acpi, BARE_ACPI_GPA, b->tables, b->bytes);
	for (uint32_t i = 0; i < b->bytes / PAGE && !rc; i++) {
		host->page_unmap(b->inst, b->pages, i);
		rc = host->page_map(b->inst, b->pages, i, BARE_ACPI_GPA + i * PAGE);
		host->mem_dirty(b->inst, BARE_ACPI_GPA + i * PAGE, PAGE);
	}
	return rc ? host->fail(b->inst, -rc, "cannot place the ACPI tables: %s", strerror(-rc)) : 0;
}

/* A slot that is added before the tables are there is in them when they are made. */
static int slots_changed(void *opaque)
{
	struct bare_board *b = opaque;

	return b->placed ? place_tables(b) : 0;
}

static void describe(struct bare_board *b)
{
	if (b->xen) {
		b->acpi.hypervisor = "XenVMM\0";
		b->acpi.sleep_port = 0;
	}
	if (!b->lines) {
		b->acpi.ioapic = 0;
		return;
	}
	for (uint32_t i = 0; i < b->acpi.n_cpus; i++)
		b->apic_id[i] = b->lines->apic_id(b->lines_self, i);
	if (b->has_uart)
		b->devices[b->acpi.n_devices++] = (struct acpi_device){
			.hid = "PNP0501", .base = COM1_PORT, .len = UART_PORTS, .gsi = COM1_LINE, .ports = 1, .edge = 1
		};
}

/* ---- life cycle ---- */

int bare_board_init(struct bare_board *b, const struct gamut_host *host, struct gamut_inst *inst, bool acpi)
{
	int rc;

	*b = (struct bare_board){ .host = host, .inst = inst };
	b->slots.devices = b->devices;
	b->slots.n_devices = &b->acpi.n_devices;
	b->slots.changed = slots_changed;
	b->slots.opaque = b;
	if (host->needed(inst, GAMUT_SERIAL_PORTS)) {
		rc = uart_init(&b->uart, host, inst, "com1");
		if (rc)
			return host->fail(inst, -rc, "cannot make the serial port: %s", strerror(-rc));
		b->has_uart = true;
	}
	rc = acpi ? make_tables(b) : 0;
	if (rc)
		bare_board_finish(b);
	return rc;
}

void bare_board_finish(struct bare_board *b)
{
	if (b->has_uart)
		uart_finish(&b->uart);
	if (b->pages)
		b->host->page_free(b->inst, b->pages);
	free(b->apic_id);
}

static int register_ports(struct bare_board *b)
{
	const struct gamut_host *host = b->host;
	int rc = 0;

	if (b->has_uart)
		rc = uart_register(&b->uart, COM1_PORT, b->lines, b->lines_self, COM1_LINE);
	if (!rc && b->pages)
		rc = host->pio_register(b->inst, RESET_PORT, 1, &reset_ops, b);
	if (!rc && b->pages && !b->xen)
		rc = host->pio_register(b->inst, SLEEP_PORT, SLEEP_PORTS, &sleep_ops, b);
	if (!rc && b->lines && b->lines->speaker_output)
		rc = host->pio_register(b->inst, 0x61, 1, &port_61_ops, b);
	return rc;
}

int bare_board_start(struct bare_board *b, bool xen)
{
	int rc;

	b->xen = xen;
	b->resets = b->host->counter(b->inst, "resets-by-register");
	b->lines = b->host->lookup(b->inst, GAMUT_IRQ_LINES, GAMUT_IRQ_REVISION, 0, &b->lines_self);
	/* A device that no table tells of would not be found. */
	b->slots.lines = b->pages ? b->lines : NULL;
	b->slots.lines_self = b->lines_self;
	if (b->pages)
		describe(b);
	rc = register_ports(b);
	if (rc)
		return b->host->fail(b->inst, -rc, "cannot register the board's ports: %s", strerror(-rc));
	rc = place_tables(b);
	b->placed = !rc;
	return rc ? rc : place_entry(b);
}

int bare_board_reset(struct bare_board *b)
{
	int rc;

	if (b->has_uart)
		uart_reset(&b->uart);
	__atomic_store_n(&b->port_61, 0, __ATOMIC_RELAXED);
	rc = place_tables(b);
	return rc ? rc : place_entry(b);
}

void bare_board_flush(struct bare_board *b)
{
	if (b->has_uart)
		uart_flush(&b->uart);
}

/* ---- for the others of the domain ---- */

static int serial_attach(void *self, uint32_t port, const struct gamut_serial_peer *peer, void *opaque)
{
	return port ? -ENOENT : uart_attach(&((struct bare_board *)self)->uart, peer, opaque);
}

static uint32_t serial_send(void *self, uint32_t port, const void *buf, uint32_t len)
{
	return port ? 0 : uart_send(&((struct bare_board *)self)->uart, buf, len);
}

static void serial_kick(void *self, uint32_t port)
{
	if (!port)
		uart_kick(&((struct bare_board *)self)->uart);
}

static const struct gamut_serial_ops serial_ops = {
	.size = sizeof(struct gamut_serial_ops),
	.count = 1,
	.attach = serial_attach,
	.send = serial_send,
	.kick = serial_kick,
};

static int slot_add(void *self, struct gamut_inst *inst, const char *hid, uint32_t len, const struct gamut_io_ops *ops,
                    void *opaque, struct gamut_slot **slot)
{
	struct bare_board *b = self;

	return bare_slots_add(&b->slots, inst, b->host, hid, len, ops, opaque, slot);
}

static void slot_irq(void *self, struct gamut_slot *slot, uint32_t level)
{
	(void)self;
	bare_slot_irq(slot, level);
}

static const struct gamut_slots_ops slots_ops = { sizeof(slots_ops), slot_add, slot_irq };

const void *bare_board_interface(const struct bare_board *b, const char *id, uint32_t revision)
{
	if (b->has_uart && !strcmp(id, GAMUT_SERIAL_PORTS) && revision == GAMUT_PC_REVISION)
		return &serial_ops;
	return !strcmp(id, GAMUT_SLOTS) && revision == GAMUT_SLOTS_REVISION ? &slots_ops : NULL;
}
