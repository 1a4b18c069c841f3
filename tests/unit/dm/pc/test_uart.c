/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "dm/pc/uart.h"
#include "fake/isa-rig.h"

#define COM1 0x3f8u
#define COM2 0x2f8u
#define MS 1000000ull

enum { THR = 0, IER, IIR, LCR, MCR, LSR, MSR, SCR };
enum { FCR = 2 };

struct rig {
	struct host_fake *f;
	struct isa_rig_lines lines;
	struct uart uart[2];
	struct serial_ports ports;
	char got[20000];
	uint32_t n, room, calls, rooms; /* room: bytes that the peer takes */
};

static uint32_t peer_receive(void *opaque, const void *buf, uint32_t len)
{
	struct rig *r = opaque;
	uint32_t n = len < r->room ? len : r->room;

	r->calls++;
	assert_true(r->n + n <= sizeof(r->got));
	memcpy(r->got + r->n, buf, n);
	r->n += n;
	r->room -= n;
	return n;
}

static void peer_room(void *opaque)
{
	((struct rig *)opaque)->rooms++;
}

static const struct gamut_serial_peer peer = {
	.size = sizeof(struct gamut_serial_peer), .receive = peer_receive, .room = peer_room
};

static int setup(void **state)
{
	struct rig *r = test_calloc(1, sizeof(*r));

	r->f = host_fake_create(1 << 20, 1);
	assert_int_equal(uart_init(&r->uart[0], r->f->host, r->f->inst, "com1"), 0);
	assert_int_equal(uart_init(&r->uart[1], r->f->host, r->f->inst, "com2"), 0);
	assert_int_equal(uart_register(&r->uart[0], COM1, &isa_rig_lines_ops, &r->lines, 4), 0);
	assert_int_equal(uart_register(&r->uart[1], COM2, &isa_rig_lines_ops, &r->lines, 3), 0);
	serial_ports_init(&r->ports, r->uart, 2);
	r->room = UINT32_MAX;
	assert_int_equal(r->ports.ops.attach(&r->ports, 0, &peer, r), 0);
	inb(r->f, COM1 + MSR);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	uart_finish(&r->uart[0]);
	uart_finish(&r->uart[1]);
	assert_int_equal(host_fake_destroy(r->f), 0);
	test_free(r);
	return 0;
}

static uint8_t rd(struct rig *r, uint32_t reg)
{
	return inb(r->f, (uint16_t)(COM1 + reg));
}

static void wr(struct rig *r, uint32_t reg, uint8_t value)
{
	outb(r->f, (uint16_t)(COM1 + reg), value);
}

static uint32_t send(struct rig *r, const char *text)
{
	return r->ports.ops.send(&r->ports, 0, text, (uint32_t)strlen(text));
}

static void after_reset(void **state)
{
	struct rig *r = *state;

	assert_int_equal(rd(r, IER), 0);
	assert_int_equal(rd(r, IIR), 1);
	assert_int_equal(rd(r, LCR), 0);
	assert_int_equal(rd(r, MCR), 0);
	assert_int_equal(rd(r, LSR), 0x60);
	assert_int_equal(rd(r, MSR), 0xb0);
	assert_int_equal(inb(r->f, COM2 + MSR), 0);
	assert_int_equal(r->lines.level[4], 0);
}

static void registers_keep_their_bits(void **state)
{
	struct rig *r = *state;

	wr(r, IER, 0xff);
	assert_int_equal(rd(r, IER), 0x0f);
	wr(r, MCR, 0xff);
	assert_int_equal(rd(r, MCR), 0x1f);
	wr(r, SCR, 0xa5);
	assert_int_equal(rd(r, SCR), 0xa5);
	wr(r, LCR, 0x83);
	wr(r, 0, 0x34);
	wr(r, 1, 0x12);
	assert_int_equal(rd(r, 0), 0x34);
	assert_int_equal(rd(r, 1), 0x12);
	wr(r, LCR, 0x03);
	assert_int_equal(rd(r, IER), 0x0f);
	wr(r, LSR, 0);
	assert_int_equal(rd(r, LSR), 0x60);
	assert_int_equal(isa_rig_in(r->f, COM1 + LCR, 2), 0x1f03);
}

static void fifo_bits_show_a_16550a(void **state)
{
	struct rig *r = *state;

	wr(r, FCR, 0xc1);
	assert_int_equal(rd(r, IIR), 0xc1);
	wr(r, FCR, 0xc0);
	assert_int_equal(rd(r, IIR), 0x01);
}

static void what_is_sent_goes_in_one_piece(void **state)
{
	struct rig *r = *state;

	for (const char *p = "hello, world"; *p; p++) {
		assert_true(rd(r, LSR) & 0x20);
		wr(r, THR, (uint8_t)*p);
	}
	assert_int_equal(r->n, 0);
	host_fake_advance(r->f, MS);
	assert_int_equal(r->calls, 1);
	assert_memory_equal(r->got, "hello, world", 12);
	assert_int_equal(host_fake_counter(r->f, "com1-sent"), 12);
	host_fake_advance(r->f, 10 * MS);
	assert_int_equal(r->calls, 1);
}

static void much_does_not_wait(void **state)
{
	struct rig *r = *state;

	for (uint32_t i = 0; i < UART_STAGE / 4; i++)
		wr(r, THR, 'x');
	host_fake_run(r->f);
	assert_int_equal(r->n, UART_STAGE / 4);
}

static void a_slow_peer_holds_the_transmitter(void **state)
{
	struct rig *r = *state;
	uint32_t sent = 0;

	r->room = 0;
	wr(r, FCR, 1);
	wr(r, MCR, 0xa);
	wr(r, IER, 2);
	for (int i = 0; i < 3 * (int)UART_STAGE && rd(r, LSR) & 0x20; i++)
		wr(r, THR, (uint8_t)sent++);
	assert_int_equal(sent, UART_STAGE + 1);
	for (int i = 0; i < 15; i++)
		wr(r, THR, (uint8_t)sent++);
	rd(r, IIR);
	assert_int_equal(r->lines.level[4], 0);
	assert_int_equal(rd(r, LSR) & 0x60, 0);
	host_fake_advance(r->f, 100 * MS);
	host_fake_run(r->f);
	assert_int_equal(r->n, 0);

	/* Room again: everything arrives, in order, and the transmitter asks for more. */
	r->room = UINT32_MAX;
	r->ports.ops.kick(&r->ports, 0);
	host_fake_run(r->f);
	host_fake_advance(r->f, 10 * MS);
	assert_int_equal(r->n, sent);
	for (uint32_t i = 0; i < sent; i++)
		assert_int_equal((uint8_t)r->got[i], (uint8_t)i);
	assert_int_equal(rd(r, LSR) & 0x60, 0x60);
	assert_int_equal(r->lines.level[4], 1);
	assert_int_equal(rd(r, IIR) & 0x0f, 2);
	assert_true(host_fake_counter(r->f, "com1-held"));
}

static void a_peer_that_takes_little_gets_all(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 100; i++)
		wr(r, THR, (uint8_t)i);
	for (int i = 0; i < 100; i++) {
		r->room = 1;
		r->ports.ops.kick(&r->ports, 0);
		host_fake_run(r->f);
	}
	assert_int_equal(r->n, 100);
	for (int i = 0; i < 100; i++)
		assert_int_equal(r->got[i], i);
}

static void detaching_brings_out_the_rest(void **state)
{
	struct rig *r = *state;

	wr(r, THR, 'x');
	assert_int_equal(r->ports.ops.attach(&r->ports, 0, NULL, NULL), 0);
	assert_int_equal(r->n, 1);
	assert_int_equal(rd(r, MSR), 0x0b);
	/* An open line takes everything. */
	for (int i = 0; i < 10000; i++) {
		assert_true(rd(r, LSR) & 0x20);
		wr(r, THR, 'y');
	}
	assert_int_equal(r->n, 1);
}

static void who_attaches(void **state)
{
	struct rig *r = *state;

	assert_int_equal(r->ports.ops.count, 2);
	assert_int_equal(r->ports.ops.attach(&r->ports, 2, &peer, r), -ENOENT);
	assert_int_equal(r->ports.ops.attach(&r->ports, 0, &peer, r), -EBUSY);
	assert_int_equal(r->ports.ops.attach(&r->ports, 1, &peer, r), 0);
	assert_int_equal(r->ports.ops.send(&r->ports, 2, "x", 1), 0);
	assert_int_equal(inb(r->f, COM2 + MSR), 0xbb);
}

static void thre_interrupt(void **state)
{
	struct rig *r = *state;

	wr(r, MCR, 0xa);
	wr(r, IER, 2);
	assert_int_equal(r->lines.level[4], 1);
	assert_int_equal(rd(r, IIR), 2);
	assert_int_equal(r->lines.level[4], 0);
	assert_int_equal(rd(r, IIR), 1);
	/* Enabled once more while empty, it asks once more. */
	wr(r, IER, 0);
	wr(r, IER, 2);
	assert_int_equal(rd(r, IIR), 2);
	/* And after every byte that has left. */
	wr(r, THR, 'a');
	assert_int_equal(r->lines.level[4], 1);
	assert_int_equal(rd(r, IIR), 2);
	assert_int_equal(r->lines.level[4], 0);
	/* An IIR that shows something of higher priority does not clear it. */
	wr(r, IER, 3);
	wr(r, THR, 'b');
	send(r, "x");
	assert_int_equal(rd(r, IIR), 4);
	rd(r, 0);
	assert_int_equal(rd(r, IIR), 2);
}

static void out2_enables_the_line(void **state)
{
	struct rig *r = *state;

	wr(r, IER, 2);
	assert_int_equal(r->lines.level[4], 0);
	wr(r, MCR, 0xa);
	assert_int_equal(r->lines.level[4], 1);
	wr(r, MCR, 0x18);
	assert_int_equal(r->lines.level[4], 0);
	assert_int_equal(r->lines.level[3], 0);
}

static void receiver_without_fifo(void **state)
{
	struct rig *r = *state;

	wr(r, MCR, 0xa);
	wr(r, IER, 1);
	assert_int_equal(send(r, "abc"), 1);
	assert_int_equal(r->lines.level[4], 1);
	assert_int_equal(rd(r, IIR), 4);
	assert_int_equal(rd(r, LSR) & 1, 1);
	assert_int_equal(r->rooms, 0);
	assert_int_equal(rd(r, 0), 'a');
	assert_int_equal(r->rooms, 1);
	assert_int_equal(r->lines.level[4], 0);
	assert_int_equal(rd(r, LSR) & 1, 0);
}

static void trigger_levels_and_timeout(void **state)
{
	static const uint8_t level[4] = { 1, 4, 8, 14 };
	struct rig *r = *state;

	wr(r, LCR, 0x83);
	wr(r, 0, 1);
	wr(r, 1, 0);
	wr(r, LCR, 0x03);
	wr(r, MCR, 0xa);
	wr(r, IER, 1);
	for (uint32_t i = 0; i < 4; i++) {
		wr(r, FCR, (uint8_t)(i << 6 | 3));
		for (uint32_t j = 1; j < level[i]; j++) {
			assert_int_equal(send(r, "x"), 1);
			assert_int_equal(r->lines.level[4], 0);
		}
		send(r, "x");
		assert_int_equal(rd(r, IIR), 0xc4);
		rd(r, 0);
		if (i)
			assert_int_equal(rd(r, IIR), 0xc1);
	}
	/* 13 bytes below the trigger level: four characters of ten bits at 115200 later it is a time-out. */
	host_fake_advance(r->f, 347000);
	assert_int_equal(r->lines.level[4], 0);
	host_fake_advance(r->f, 1000);
	assert_int_equal(r->lines.level[4], 1);
	assert_int_equal(rd(r, IIR), 0xcc);
	rd(r, 0);
	assert_int_equal(rd(r, IIR), 0xc1);
	/* Each read starts it again. */
	host_fake_advance(r->f, 200000);
	rd(r, 0);
	host_fake_advance(r->f, 200000);
	assert_int_equal(rd(r, IIR), 0xc1);
	host_fake_advance(r->f, 200000);
	assert_int_equal(rd(r, IIR), 0xcc);
	wr(r, FCR, 0xc3);
	assert_int_equal(rd(r, LSR) & 1, 0);
	assert_int_equal(rd(r, IIR), 0xc1);
}

static void fifo_takes_sixteen(void **state)
{
	struct rig *r = *state;

	wr(r, FCR, 1);
	wr(r, MCR, 2);
	assert_int_equal(send(r, "0123456789abcdefXYZ"), 16);
	assert_int_equal(send(r, "XYZ"), 0);
	for (const char *p = "0123456789abcdef"; *p; p++)
		assert_int_equal(rd(r, 0), *p);
	assert_int_equal(rd(r, LSR) & 1, 0);
	assert_int_equal(rd(r, LSR) & 2, 0);
	assert_int_equal(r->rooms, 1);
	assert_int_equal(host_fake_counter(r->f, "com1-received"), 16);
	/* Turning the FIFOs off empties them. */
	send(r, "abc");
	wr(r, FCR, 0);
	assert_int_equal(rd(r, LSR), 0x60);
}

static void loop_back(void **state)
{
	struct rig *r = *state;

	wr(r, MCR, 0x1a);
	assert_int_equal(rd(r, MSR) & 0xf0, 0x90);
	wr(r, MCR, 0x15);
	assert_int_equal(rd(r, MSR) & 0xf0, 0x60);
	wr(r, MCR, 0x10);
	/* RI's trailing edge, DSR's change. */
	assert_int_equal(rd(r, MSR), 0x06);
	assert_int_equal(rd(r, MSR), 0);
	wr(r, MCR, 0x14);
	assert_int_equal(rd(r, MSR), 0x40);
	wr(r, THR, 'z');
	assert_int_equal(rd(r, LSR), 0x61);
	assert_int_equal(rd(r, 0), 'z');
	host_fake_advance(r->f, 10 * MS);
	assert_int_equal(r->n, 0);
	/* From the line comes nothing; when the loop ends, the peer is told. */
	assert_int_equal(send(r, "q"), 0);
	wr(r, MCR, 2);
	assert_int_equal(r->rooms, 1);
	assert_int_equal(send(r, "q"), 1);
}

/* Nothing is sent to a driver that would throw it away: it sets RTS, allows the interrupt, or polls. */
static void waits_for_a_listener(void **state)
{
	struct rig *r = *state;

	wr(r, MCR, 0);
	assert_int_equal(send(r, "abc"), 0);
	wr(r, FCR, 7);
	rd(r, LSR);
	rd(r, 0);
	assert_int_equal(r->rooms, 0);
	wr(r, MCR, 3);
	assert_int_equal(r->rooms, 1);
	assert_int_equal(send(r, "a"), 1);
	assert_int_equal(rd(r, 0), 'a');
	wr(r, MCR, 1);
	assert_int_equal(send(r, "b"), 0);
	wr(r, IER, 1);
	assert_int_equal(send(r, "b"), 0);
	host_fake_advance(r->f, 20 * MS);
	assert_int_equal(r->rooms, 2);
	assert_int_equal(send(r, "b"), 1);
	assert_int_equal(rd(r, 0), 'b');
	wr(r, IER, 0);
	assert_int_equal(send(r, "c"), 0);
	/* Looking whether it can send is no poll. */
	for (unsigned i = 0; i < 100; i++) {
		rd(r, LSR);
		wr(r, THR, 'x');
	}
	assert_int_equal(r->rooms, 2);
	for (unsigned i = 0; i < UART_POLLS; i++)
		rd(r, LSR);
	assert_int_equal(r->rooms, 3);
	assert_int_equal(send(r, "c"), 1);
}

/* Who waits for the transmitter does not wait for a byte, however long the peer takes. */
static void waiting_to_send_is_no_poll(void **state)
{
	struct rig *r = *state;

	r->room = 0;
	wr(r, MCR, 8);
	assert_int_equal(send(r, "a"), 0);
	while (rd(r, LSR) & 0x20)
		wr(r, THR, 'x');
	for (unsigned i = 0; i < 10 * UART_POLLS; i++)
		rd(r, LSR);
	assert_int_equal(r->rooms, 0);
	assert_int_equal(send(r, "a"), 0);
	r->room = UINT32_MAX;
	r->ports.ops.kick(&r->ports, 0);
	host_fake_run(r->f);
	for (unsigned i = 0; i < UART_POLLS; i++)
		rd(r, LSR);
	assert_int_equal(r->rooms, 1);
	assert_int_equal(send(r, "a"), 1);
}

static void overrun(void **state)
{
	struct rig *r = *state;

	wr(r, MCR, 0x10);
	wr(r, THR, 'a');
	wr(r, THR, 'b');
	assert_int_equal(rd(r, LSR), 0x63);
	assert_int_equal(rd(r, LSR), 0x61);
	assert_int_equal(rd(r, 0), 'b');
	/* With FIFOs the newest is lost. */
	wr(r, FCR, 1);
	for (int i = 0; i < 17; i++)
		wr(r, THR, (uint8_t)('a' + i));
	wr(r, IER, 4);
	assert_int_equal(rd(r, IIR), 0xc6);
	assert_int_equal(rd(r, LSR), 0x63);
	assert_int_equal(rd(r, IIR), 0xc1);
	for (int i = 0; i < 16; i++)
		assert_int_equal(rd(r, 0), 'a' + i);
	assert_int_equal(rd(r, LSR), 0x60);
}

static void break_is_an_error_of_its_byte(void **state)
{
	struct rig *r = *state;

	wr(r, FCR, 1);
	wr(r, MCR, 0x10);
	wr(r, THR, 'a');
	wr(r, LCR, 0x43);
	assert_int_equal(rd(r, LSR), 0xe1); /* one is in the FIFO, not at its head */
	assert_int_equal(rd(r, 0), 'a');
	assert_int_equal(rd(r, LSR), 0xf9);
	assert_int_equal(rd(r, LSR), 0x61);
	assert_int_equal(rd(r, 0), 0);
}

static void modem_interrupt(void **state)
{
	struct rig *r = *state;

	wr(r, MCR, 0xa);
	wr(r, IER, 8);
	assert_int_equal(r->lines.level[4], 0);
	r->ports.ops.attach(&r->ports, 0, NULL, NULL);
	assert_int_equal(r->lines.level[4], 1);
	assert_int_equal(rd(r, IIR), 0);
	assert_int_equal(rd(r, MSR), 0x0b);
	assert_int_equal(r->lines.level[4], 0);
}

static void reset_puts_the_line_down(void **state)
{
	struct rig *r = *state;

	wr(r, SCR, 0x77);
	wr(r, THR, 'l');
	wr(r, MCR, 0xa);
	wr(r, IER, 3);
	send(r, "x");
	assert_int_equal(r->lines.level[4], 1);
	uart_reset(&r->uart[0]);
	assert_int_equal(r->lines.level[4], 0);
	assert_int_equal(rd(r, IIR), 1);
	assert_int_equal(rd(r, LSR), 0x60);
	assert_int_equal(rd(r, THR), 0); /* as at power-on, and not what came last */
	assert_int_equal(rd(r, SCR), 0x77);
	host_fake_advance(r->f, MS);
	assert_int_equal(r->n, 1);
}

static void any_access_in_any_order(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 50; i++) {
		isa_rig_hammer(r->f, COM1, UART_PORTS, 1000);
		send(r, "0123456789");
		r->n = 0;
		host_fake_advance(r->f, MS);
		host_fake_run(r->f);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(after_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(registers_keep_their_bits, setup, teardown),
		cmocka_unit_test_setup_teardown(fifo_bits_show_a_16550a, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_sent_goes_in_one_piece, setup, teardown),
		cmocka_unit_test_setup_teardown(much_does_not_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(a_slow_peer_holds_the_transmitter, setup, teardown),
		cmocka_unit_test_setup_teardown(a_peer_that_takes_little_gets_all, setup, teardown),
		cmocka_unit_test_setup_teardown(detaching_brings_out_the_rest, setup, teardown),
		cmocka_unit_test_setup_teardown(who_attaches, setup, teardown),
		cmocka_unit_test_setup_teardown(thre_interrupt, setup, teardown),
		cmocka_unit_test_setup_teardown(out2_enables_the_line, setup, teardown),
		cmocka_unit_test_setup_teardown(receiver_without_fifo, setup, teardown),
		cmocka_unit_test_setup_teardown(trigger_levels_and_timeout, setup, teardown),
		cmocka_unit_test_setup_teardown(fifo_takes_sixteen, setup, teardown),
		cmocka_unit_test_setup_teardown(loop_back, setup, teardown),
		cmocka_unit_test_setup_teardown(waits_for_a_listener, setup, teardown),
		cmocka_unit_test_setup_teardown(waiting_to_send_is_no_poll, setup, teardown),
		cmocka_unit_test_setup_teardown(overrun, setup, teardown),
		cmocka_unit_test_setup_teardown(break_is_an_error_of_its_byte, setup, teardown),
		cmocka_unit_test_setup_teardown(modem_interrupt, setup, teardown),
		cmocka_unit_test_setup_teardown(reset_puts_the_line_down, setup, teardown),
		cmocka_unit_test_setup_teardown(any_access_in_any_order, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
