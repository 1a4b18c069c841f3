/* SPDX-License-Identifier: MIT */
/*
 * The PS/2 keyboard controller, after IBM's Personal System/2 Hardware
 * Interface Technical Reference, "Keyboard and Auxiliary Device Controller".
 *
 * The controller's own answers are in the output buffer at once. A device's
 * byte needs BYTE_NS on its wire after the buffer was read: so a handler that
 * reads port 0x60 twice gets the same byte twice, as it does from the chip.
 */
#include "dm/pc/i8042.h"

#include <errno.h>
#include <string.h>

#define BYTE_NS 800000u /* 11 bits at 13.75 kHz */

#define LINE_KEYBOARD 1u
#define LINE_MOUSE 12u

enum { ST_OBF = 1, ST_SYS = 4, ST_COMMAND = 8, ST_UNLOCKED = 16, ST_AUX = 32 };
enum { CB_KEYBOARD_INT = 1, CB_MOUSE_INT = 2, CB_SYS = 4, CB_KEYBOARD_OFF = 16, CB_MOUSE_OFF = 32, CB_TRANSLATE = 64 };
enum { OUT_RESET = 1, OUT_A20 = 2, OUT_KEYBOARD_FULL = 16, OUT_MOUSE_FULL = 32, OUT_IDLE = 0xcc };

/* Data lines idle, 512 KiB of board RAM, no manufacturing jumper, colour display, keyboard not locked. */
#define INPUT_PORT 0xb3u

/* ---- the output buffer; all under the lock ---- */

static void update_lines(struct i8042 *k)
{
	bool full = k->status & ST_OBF, mouse = k->status & ST_AUX;

	isa_line_set(&k->keyboard_line, full && !mouse && k->ram[0] & CB_KEYBOARD_INT);
	isa_line_set(&k->mouse_line, full && mouse && k->ram[0] & CB_MOUSE_INT);
}

/* A byte that replaces another is an edge of its own. */
static void load(struct i8042 *k, uint8_t byte, bool aux)
{
	k->status &= (uint8_t)~(ST_OBF | ST_AUX);
	update_lines(k);
	k->out = byte;
	k->status |= aux ? ST_OBF | ST_AUX : ST_OBF;
	update_lines(k);
}

/* The translation swallows F0, and with it the time of one byte. */
static bool load_keyboard(struct i8042 *k)
{
	while (!(k->ram[0] & CB_KEYBOARD_OFF) && ps2_out_pending(&k->keyboard.out)) {
		uint8_t byte = ps2_out_take(&k->keyboard.out);
		int code = k->ram[0] & CB_TRANSLATE ? ps2_translate(&k->f0, byte) : byte;

		if (code < 0)
			continue;
		load(k, (uint8_t)code, false);
		return true;
	}
	return false;
}

static bool device_pending(const struct i8042 *k)
{
	return (!(k->ram[0] & CB_KEYBOARD_OFF) && ps2_out_pending(&k->keyboard.out)) ||
	       (!(k->ram[0] & CB_MOUSE_OFF) && ps2_out_pending(&k->mouse.out));
}

/* The next byte for an empty buffer: the controller's own, then the keyboard's, then the mouse's. */
static void fill(struct i8042 *k)
{
	if (k->status & ST_OBF)
		return;
	if (k->response >= 0) {
		load(k, (uint8_t)k->response, k->response_aux);
		k->response = -1;
		return;
	}
	if (!device_pending(k))
		return;
	if (k->host->time_now(k->inst) < k->next_at) {
		k->host->timer_set(k->inst, k->timer, k->next_at);
		return;
	}
	if (!load_keyboard(k) && !(k->ram[0] & CB_MOUSE_OFF) && ps2_out_pending(&k->mouse.out))
		load(k, ps2_out_take(&k->mouse.out), true);
}

static void byte_arrived(void *opaque)
{
	struct i8042 *k = opaque;

	pthread_mutex_lock(&k->lock);
	fill(k);
	pthread_mutex_unlock(&k->lock);
}

static void respond(struct i8042 *k, uint8_t byte, bool aux)
{
	k->response = byte;
	k->response_aux = aux;
}

/* ---- pins ---- */

static void set_output_port(struct i8042 *k, uint8_t value)
{
	uint8_t changed = k->output_port ^ value;

	k->output_port = value & (OUT_RESET | OUT_A20);
	if (changed & OUT_A20 && k->pins.a20)
		k->pins.a20(k->pins.opaque, !!(value & OUT_A20));
	if (!(value & OUT_RESET) && k->pins.reset) {
		/* The pulse resets the processors, not this chip: the pin is back before they run. */
		k->output_port |= OUT_RESET;
		k->pins.reset(k->pins.opaque);
	}
}

static uint8_t output_port(const struct i8042 *k)
{
	uint8_t full = !(k->status & ST_OBF) ? 0 : k->status & ST_AUX ? OUT_MOUSE_FULL : OUT_KEYBOARD_FULL;

	return k->output_port | OUT_IDLE | full;
}

/* ---- commands ---- */

static void write_ram(struct i8042 *k, uint32_t at, uint8_t value)
{
	k->ram[at] = value;
	if (at)
		return;
	k->status = (uint8_t)((k->status & ~ST_SYS) | (value & CB_SYS ? ST_SYS : 0));
	update_lines(k);
}

static void set_interface(struct i8042 *k, uint8_t bit, bool on)
{
	write_ram(k, 0, on ? k->ram[0] & (uint8_t)~bit : k->ram[0] | bit);
}

static void self_test(struct i8042 *k)
{
	set_interface(k, CB_SYS, false); /* sets the bit */
	respond(k, 0x55, false);
}

static void command(struct i8042 *k, uint8_t value)
{
	k->command = 0;
	switch (value) {
	case 0x20 ... 0x3f:
		respond(k, k->ram[value & 0x1f], false);
		break;
	case 0x60 ... 0x7f:
	case 0xa5: /* load password */
	case 0xd1 ... 0xd4: /* write output port, keyboard's and mouse's output buffer, to the mouse */
		k->command = value;
		break;
	case 0xa4: /* test password: none installed */
		respond(k, 0xf1, false);
		break;
	case 0xa7:
	case 0xa8:
		set_interface(k, CB_MOUSE_OFF, value == 0xa8);
		break;
	case 0xa9: /* mouse interface test, keyboard interface test: no error */
	case 0xab:
		respond(k, 0, false);
		break;
	case 0xaa:
		self_test(k);
		break;
	case 0xad:
	case 0xae:
		set_interface(k, CB_KEYBOARD_OFF, value == 0xae);
		break;
	case 0xc0:
		respond(k, INPUT_PORT, false);
		break;
	case 0xd0:
		respond(k, output_port(k), false);
		break;
	case 0xe0: /* test inputs: the two clocks, low where the interface is off */
		respond(k, (k->ram[0] & CB_KEYBOARD_OFF ? 0 : 1) | (k->ram[0] & CB_MOUSE_OFF ? 0 : 2), false);
		break;
	case 0xf0 ... 0xff: /* pulses the pins whose bit is 0 */
		if (!(value & OUT_RESET))
			set_output_port(k, k->output_port & (uint8_t)~OUT_RESET);
		break;
	default: /* not a command */
		break;
	}
}

static void argument(struct i8042 *k, uint8_t value)
{
	uint8_t to = k->command;

	k->command = 0;
	switch (to) {
	case 0x60 ... 0x7f:
		write_ram(k, to & 0x1f, value);
		break;
	case 0xa5: /* until a zero ends it; nothing can be done with it */
		k->command = value ? to : 0;
		break;
	case 0xd1:
		set_output_port(k, value);
		break;
	case 0xd2:
	case 0xd3:
		respond(k, value, to == 0xd3);
		break;
	default: /* d4 */
		set_interface(k, CB_MOUSE_OFF, true);
		ps2_mouse_write(&k->mouse, value);
		break;
	}
}

/* A byte to a device turns its interface on. */
static void write_data(struct i8042 *k, uint8_t value)
{
	if (k->command) {
		argument(k, value);
		return;
	}
	set_interface(k, CB_KEYBOARD_OFF, true);
	ps2_keyboard_write(&k->keyboard, value);
}

/* ---- ports ---- */

static uint64_t data_read(void *opaque, uint64_t offset, uint32_t width)
{
	struct i8042 *k = opaque;
	uint8_t value;

	(void)offset;
	(void)width;
	pthread_mutex_lock(&k->lock);
	value = k->out;
	if (k->status & ST_OBF) {
		k->status &= (uint8_t)~(ST_OBF | ST_AUX);
		k->next_at = k->host->time_now(k->inst) + BYTE_NS;
		update_lines(k);
		fill(k);
	}
	pthread_mutex_unlock(&k->lock);
	return value;
}

static void data_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct i8042 *k = opaque;

	(void)offset;
	(void)width;
	pthread_mutex_lock(&k->lock);
	k->status &= (uint8_t)~ST_COMMAND;
	write_data(k, (uint8_t)value);
	fill(k);
	pthread_mutex_unlock(&k->lock);
}

static uint64_t status_read(void *opaque, uint64_t offset, uint32_t width)
{
	struct i8042 *k = opaque;
	uint8_t value;

	(void)offset;
	(void)width;
	pthread_mutex_lock(&k->lock);
	value = k->status;
	pthread_mutex_unlock(&k->lock);
	return value;
}

static void command_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct i8042 *k = opaque;

	(void)offset;
	(void)width;
	pthread_mutex_lock(&k->lock);
	k->status |= ST_COMMAND;
	command(k, (uint8_t)value);
	fill(k);
	pthread_mutex_unlock(&k->lock);
}

const struct gamut_io_ops i8042_data_ops = {
	.size = sizeof(struct gamut_io_ops),
	.read = data_read,
	.write = data_write,
};

const struct gamut_io_ops i8042_command_ops = {
	.size = sizeof(struct gamut_io_ops),
	.read = status_read,
	.write = command_write,
};

/* ---- keys ---- */

static int key(void *self, uint32_t code, uint32_t down)
{
	struct i8042 *k = self;
	int rc;

	pthread_mutex_lock(&k->lock);
	rc = ps2_keyboard_key(&k->keyboard, code, down);
	fill(k);
	pthread_mutex_unlock(&k->lock);
	isa_count(rc == -EAGAIN ? k->overruns : k->keys, 1);
	return rc;
}

const struct gamut_keyboard_ops i8042_keyboard_ops = {
	.size = sizeof(struct gamut_keyboard_ops),
	.key = key,
};

/* ---- life ---- */

int i8042_init(struct i8042 *k, const struct gamut_host *host, struct gamut_inst *inst,
               const struct i8042_pins *pins)
{
	memset(k, 0, sizeof(*k));
	k->host = host;
	k->inst = inst;
	if (pins)
		k->pins = *pins;
	pthread_mutex_init(&k->lock, NULL);
	k->timer = host->timer_create(inst, byte_arrived, k);
	if (!k->timer) {
		i8042_finish(k);
		return -ENOMEM;
	}
	k->keys = host->counter(inst, "keys");
	k->overruns = host->counter(inst, "keys-refused");
	i8042_reset(k);
	return 0;
}

int i8042_register(struct i8042 *k, const struct gamut_irq_lines_ops *lines, void *lines_self)
{
	int rc;

	k->keyboard_line = (struct isa_line){ .ops = lines, .self = lines_self, .number = LINE_KEYBOARD };
	k->mouse_line = (struct isa_line){ .ops = lines, .self = lines_self, .number = LINE_MOUSE };
	rc = k->host->pio_register(k->inst, I8042_DATA, 1, &i8042_data_ops, k);
	return rc ? rc : k->host->pio_register(k->inst, I8042_COMMAND, 1, &i8042_command_ops, k);
}

/*
 * Firmware finds what a PC shows after the controller's and the devices' power
 * has come: both interfaces on hold, so their self tests' results wait.
 */
void i8042_reset(struct i8042 *k)
{
	pthread_mutex_lock(&k->lock);
	memset(k->ram, 0, sizeof(k->ram));
	k->ram[0] = CB_KEYBOARD_OFF | CB_MOUSE_OFF | CB_TRANSLATE;
	k->status = ST_UNLOCKED;
	k->command = k->out = 0;
	k->response = -1;
	k->f0 = false;
	k->next_at = 0;
	k->host->timer_cancel(k->inst, k->timer);
	ps2_keyboard_reset(&k->keyboard);
	ps2_mouse_reset(&k->mouse);
	k->output_port = OUT_RESET | OUT_A20;
	if (k->pins.a20)
		k->pins.a20(k->pins.opaque, 1);
	update_lines(k);
	pthread_mutex_unlock(&k->lock);
}

void i8042_finish(struct i8042 *k)
{
	if (!k->host)
		return;
	if (k->timer)
		k->host->timer_destroy(k->inst, k->timer);
	pthread_mutex_destroy(&k->lock);
	k->host = NULL;
}
