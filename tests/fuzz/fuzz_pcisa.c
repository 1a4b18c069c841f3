/* SPDX-License-Identifier: MIT */
/*
 * A guest at the ISA chips of a PC. The input is a list of actions: ports and
 * the VGA's memory, read and written in all widths; keys; bytes on the serial
 * lines; time; resets. What a console does meanwhile is done too: it looks at the
 * screen, and takes what the serial port sends at its own pace.
 */
#include "dm/pc/cmos.h"
#include "dm/pc/i8042.h"
#include "dm/pc/i8237.h"
#include "dm/pc/uart.h"
#include "dm/pc/vga.h"
#include "dm/term/draw.h"
#include "fake/isa-rig.h"
#include "fuzz-input.h"

#define CELLS 4000u

struct world {
	struct host_fake *f;
	struct isa_rig_lines lines;
	struct uart uart[2];
	struct serial_ports ports;
	struct i8042 kbc;
	struct cmos cmos;
	struct i8237 dma;
	struct vga vga;
	struct draw draw;
	struct draw_out out;
	struct gamut_text_cell cells[CELLS];
	int64_t wall;
	uint32_t room;
};

static int64_t wall(void *opaque)
{
	return ((struct world *)opaque)->wall;
}

static uint32_t receive(void *opaque, const void *buf, uint32_t len)
{
	struct world *w = opaque;
	uint32_t n = len < w->room ? len : w->room;
	volatile uint8_t last = n ? ((const uint8_t *)buf)[n - 1] : 0;

	(void)last;
	w->room -= n;
	return n;
}

static const struct gamut_serial_peer peer = { .size = sizeof(struct gamut_serial_peer), .receive = receive };

static void begin(struct world *w)
{
	const struct cmos_config config = { .cpus = 1, .wall = wall, .opaque = w };
	const struct gamut_irq_lines_ops *lines = &isa_rig_lines_ops;

	w->f = host_fake_create(1 << 20, 1);
	w->f->host->mem_release(w->f->inst, VGA_WINDOW, VGA_WINDOW_SIZE);
	FUZZ_CHECK(!uart_init(&w->uart[0], w->f->host, w->f->inst, "com1"));
	FUZZ_CHECK(!uart_init(&w->uart[1], w->f->host, w->f->inst, "com2"));
	FUZZ_CHECK(!i8042_init(&w->kbc, w->f->host, w->f->inst, NULL));
	FUZZ_CHECK(!cmos_init(&w->cmos, w->f->host, w->f->inst, &config));
	FUZZ_CHECK(!i8237_init(&w->dma, w->f->host, w->f->inst));
	FUZZ_CHECK(!vga_init(&w->vga, w->f->host, w->f->inst));
	FUZZ_CHECK(!uart_register(&w->uart[0], 0x3f8, lines, &w->lines, 4));
	FUZZ_CHECK(!uart_register(&w->uart[1], 0x2f8, lines, &w->lines, 3));
	FUZZ_CHECK(!i8042_register(&w->kbc, lines, &w->lines));
	FUZZ_CHECK(!cmos_register(&w->cmos, lines, &w->lines));
	FUZZ_CHECK(!i8237_register(&w->dma));
	FUZZ_CHECK(!vga_register(&w->vga));
	serial_ports_init(&w->ports, w->uart, 2);
	FUZZ_CHECK(!w->ports.ops.attach(&w->ports, 0, &peer, w));
}

static void end(struct world *w)
{
	uart_finish(&w->uart[0]);
	uart_finish(&w->uart[1]);
	i8042_finish(&w->kbc);
	cmos_finish(&w->cmos);
	i8237_finish(&w->dma);
	vga_finish(&w->vga);
	draw_free(&w->draw);
	draw_finish(&w->out);
	FUZZ_CHECK(!host_fake_destroy(w->f));
}

/* A port of those that are there, whatever the number. */
static void act_port(struct world *w, struct fuzz_input *in, uint32_t width, bool write)
{
	uint32_t at = fuzz_u8(in);

	for (uint32_t i = 0; i < w->f->n_pio; i++) {
		const struct host_fake_range *r = &w->f->pio[i];

		if (at >= r->len) {
			at -= (uint32_t)r->len;
			continue;
		}
		if (width > r->len - at)
			width = 1;
		if (write)
			isa_rig_out(w->f, (uint16_t)(r->base + at), width, fuzz_u32(in));
		else
			isa_rig_in(w->f, (uint16_t)(r->base + at), width);
		return;
	}
}

static void act_memory(struct world *w, struct fuzz_input *in, uint32_t width, bool write)
{
	uint64_t at = (fuzz_u16(in) * 2ull) % (VGA_WINDOW_SIZE - 8), value = fuzz_u32(in);

	for (uint32_t n = fuzz_u8(in) % 128; n--; at = (at + width) % (VGA_WINDOW_SIZE - 8)) {
		if (write && w->f->host->mem_write(w->f->inst, VGA_WINDOW + at, &value, width))
			vga_memory_ops.write(&w->vga, at, width, value);
		if (!write && w->f->host->mem_read(w->f->inst, VGA_WINDOW + at, &value, width))
			vga_memory_ops.read(&w->vga, at, width);
	}
}

static void act_look(struct world *w, uint32_t rows)
{
	struct gamut_text_screen s = { .size = sizeof(s) };
	uint32_t n = vga_text_screen_ops.look(&w->vga, &s, w->cells, CELLS);

	vga_text_screen_ops.generation(&w->vga);
	FUZZ_CHECK(s.graphics || n == s.columns * s.rows);
	FUZZ_CHECK(!s.cursor_on || (s.cursor_row < s.rows && s.cursor_column < s.columns));
	w->out.len = 0;
	if (n > CELLS)
		return;
	FUZZ_CHECK(!draw_update(&w->draw, &s, w->cells, rows, rows * 2, &w->out));
	draw_plain(&s, w->cells, &w->out);
}

static void act_time(struct world *w, uint32_t scale, uint64_t amount)
{
	static const uint64_t unit[4] = { 1000, 100000, 10000000, 1000000000 };

	w->wall += (int64_t)(amount * unit[scale & 3]);
	/* The wall clock may go on without the domain. */
	if (!(scale & 4))
		host_fake_advance(w->f, amount * unit[scale & 3] % 10000000000u);
	else
		cmos_resume(&w->cmos);
	host_fake_run(w->f);
}

static void act_reset(struct world *w, uint32_t which)
{
	if (which & 1)
		uart_reset(&w->uart[0]);
	if (which & 2)
		i8042_reset(&w->kbc);
	if (which & 4)
		cmos_reset(&w->cmos);
	if (which & 8)
		i8237_reset(&w->dma);
	if (which & 16)
		vga_reset(&w->vga);
	if (which & 32)
		vga_decode(&w->vga, which >> 6 & 1, which >> 7 & 1);
}

static void act_serial(struct world *w, struct fuzz_input *in)
{
	size_t n;
	const uint8_t *p;

	w->room = fuzz_u8(in) * 16u;
	p = fuzz_bytes(in, fuzz_u8(in), &n);
	w->ports.ops.send(&w->ports, 0, p, (uint32_t)n);
	w->ports.ops.kick(&w->ports, 0);
	host_fake_run(w->f);
}

static void act(struct world *w, struct fuzz_input *in)
{
	uint8_t what = fuzz_u8(in);
	uint32_t width = 1u << (what >> 6);

	switch (what & 15) {
	case 0 ... 5:
		act_port(w, in, width > 4 ? 1 : width, true);
		break;
	case 6 ... 7:
		act_port(w, in, width > 4 ? 1 : width, false);
		break;
	case 8 ... 9:
		act_memory(w, in, width, true);
		break;
	case 10:
		act_memory(w, in, width, false);
		break;
	case 11:
		i8042_keyboard_ops.key(&w->kbc, fuzz_u8(in), what >> 4 & 1);
		break;
	case 12:
		act_serial(w, in);
		break;
	case 13:
		act_time(w, what >> 4, fuzz_u8(in));
		break;
	case 14:
		act_look(w, what >> 4);
		break;
	default:
		act_reset(w, fuzz_u8(in));
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { .data = data, .left = size };
	struct world *w = calloc(1, sizeof(*w));

	FUZZ_CHECK(w);
	begin(w);
	while (in.left)
		act(w, &in);
	end(w);
	free(w);
	return 0;
}
