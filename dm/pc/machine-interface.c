/* SPDX-License-Identifier: MIT */
/* What others of the domain get: of each, the chip that it is about. */
#include "dm/pc/machine.h"

#include <errno.h>
#include <string.h>

static int serial_attach(void *self, uint32_t port, const struct gamut_serial_peer *peer, void *opaque)
{
	struct pc_machine *p = self;

	return port < PC_UARTS ? uart_attach(&p->uart[port], peer, opaque) : -ENOENT;
}

static uint32_t serial_send(void *self, uint32_t port, const void *buf, uint32_t len)
{
	struct pc_machine *p = self;

	return port < PC_UARTS ? uart_send(&p->uart[port], buf, len) : 0;
}

static void serial_kick(void *self, uint32_t port)
{
	struct pc_machine *p = self;

	if (port < PC_UARTS)
		uart_kick(&p->uart[port]);
}

static const struct gamut_serial_ops serial_ops = {
	.size = sizeof(struct gamut_serial_ops),
	.count = PC_UARTS,
	.attach = serial_attach,
	.send = serial_send,
	.kick = serial_kick,
};

static uint32_t screen_look(void *self, struct gamut_text_screen *screen, struct gamut_text_cell *cells, uint32_t n)
{
	struct pc_machine *p = self;

	return vga_text_screen_ops.look(&p->vga, screen, cells, n);
}

static uint64_t screen_generation(void *self)
{
	struct pc_machine *p = self;

	return vga_text_screen_ops.generation(&p->vga);
}

static const struct gamut_text_screen_ops screen_ops = {
	.size = sizeof(struct gamut_text_screen_ops),
	.look = screen_look,
	.generation = screen_generation,
};

static int keyboard_key(void *self, uint32_t code, uint32_t down)
{
	struct pc_machine *p = self;

	return i8042_keyboard_ops.key(&p->keyboard, code, down);
}

static const struct gamut_keyboard_ops keyboard_ops = {
	.size = sizeof(struct gamut_keyboard_ops),
	.key = keyboard_key,
};

static int config_file(void *self, const char *name, const void *data, uint32_t len)
{
	struct pc_machine *p = self;

	return fw_cfg_config_ops.file(&p->config, name, data, len);
}

static const struct gamut_firmware_config_ops config_ops = {
	.size = sizeof(struct gamut_firmware_config_ops),
	.file = config_file,
};

const void *pc_machine_interface(const char *id, uint32_t revision)
{
	static const struct {
		const char *id;
		uint32_t revision;
		const void *ops;
	} given[] = {
		{ GAMUT_PCI_BUS, GAMUT_PCI_REVISION, &pci_bus_ops },
		{ GAMUT_SERIAL_PORTS, GAMUT_PC_REVISION, &serial_ops },
		{ GAMUT_TEXT_SCREEN, GAMUT_PC_REVISION, &screen_ops },
		{ GAMUT_KEYBOARD, GAMUT_PC_REVISION, &keyboard_ops },
		{ GAMUT_FIRMWARE_CONFIG, GAMUT_PC_REVISION, &config_ops },
	};

	for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
		if (revision == given[i].revision && !strcmp(id, given[i].id))
			return given[i].ops;
	}
	return NULL;
}
