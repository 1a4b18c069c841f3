/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "dm/pc/i8259.h"

#define BASE 0x30
#define EOI 0x20u
#define EOI_OF(n) (0x60u | (n))

struct rig {
	struct i8259 p;
	uint32_t out, rises;
};

static void output(void *opaque, uint32_t level)
{
	struct rig *r = opaque;

	assert_int_not_equal(level, r->out);
	r->out = level;
	r->rises += level;
}

/* ---- as the guest ---- */

static void cmd(struct rig *r, int chip, uint8_t value)
{
	(chip ? &i8259_slave_ops : &i8259_master_ops)->write(&r->p, 0, 1, value);
}

static void data(struct rig *r, int chip, uint8_t value)
{
	(chip ? &i8259_slave_ops : &i8259_master_ops)->write(&r->p, 1, 1, value);
}

static uint8_t rd(struct rig *r, int chip, uint64_t port)
{
	return (uint8_t)(chip ? &i8259_slave_ops : &i8259_master_ops)->read(&r->p, port, 1);
}

static uint8_t irr(struct rig *r, int chip)
{
	cmd(r, chip, 0x0a);
	return rd(r, chip, 0);
}

static uint8_t isr(struct rig *r, int chip)
{
	cmd(r, chip, 0x0b);
	return rd(r, chip, 0);
}

static void init_chip(struct rig *r, int chip, uint8_t icw4)
{
	cmd(r, chip, 0x11);
	data(r, chip, (uint8_t)(BASE + chip * 8));
	data(r, chip, chip ? 2 : 4);
	data(r, chip, icw4);
}

static void up(struct rig *r, uint32_t line)
{
	i8259_set(&r->p, line, 1);
}

static void down(struct rig *r, uint32_t line)
{
	i8259_set(&r->p, line, 0);
}

/* The interrupt's line, -1 for none. */
static int ack(struct rig *r)
{
	int vector = i8259_ack(&r->p, true);

	return vector < 0 ? -1 : vector - BASE;
}

static int setup(void **state)
{
	struct rig *r = test_calloc(1, sizeof(*r));

	i8259_init(&r->p, output, r);
	init_chip(r, 0, 1);
	init_chip(r, 1, 1);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	i8259_finish(&r->p);
	test_free(r);
	return 0;
}

/* ---- tests ---- */

static void power_on_is_masked(void **state)
{
	struct rig *r = *state;

	up(r, 3);
	i8259_reset(&r->p);
	assert_int_equal(rd(r, 0, 1), 0xff);
	assert_int_equal(rd(r, 1, 1), 0xff);
	assert_int_equal(r->out, 0);
	assert_int_equal(ack(r), -1);
	/* The wire was high all the while: that is no edge. */
	init_chip(r, 0, 1);
	assert_int_equal(r->out, 0);
	down(r, 3);
	up(r, 3);
	assert_int_equal(ack(r), 3);
}

static void an_edge_asks_once(void **state)
{
	struct rig *r = *state;

	up(r, 4);
	assert_int_equal(r->out, 1);
	assert_true(i8259_output(&r->p));
	assert_int_equal(irr(r, 0), 0x10);
	assert_int_equal(ack(r), 4);
	assert_int_equal(r->out, 0);
	assert_int_equal(irr(r, 0), 0);
	assert_int_equal(isr(r, 0), 0x10);
	cmd(r, 0, EOI);
	assert_int_equal(isr(r, 0), 0);
	up(r, 4); /* no change */
	assert_int_equal(ack(r), -1);
	down(r, 4);
	up(r, 4);
	assert_int_equal(ack(r), 4);
}

static void a_request_that_is_withdrawn(void **state)
{
	struct rig *r = *state;

	up(r, 4);
	down(r, 4);
	assert_int_equal(r->out, 0);
	assert_int_equal(irr(r, 0), 0);
	assert_int_equal(ack(r), -1);
	/* To a processor that asks all the same: spurious, and nothing is in service. */
	assert_int_equal(i8259_ack(&r->p, false), BASE + 7);
	assert_int_equal(isr(r, 0), 0);
	/* The slave's, taken back between the two cycles of another: the master has it in service. */
	up(r, 9);
	r->p.chip[1].imr = 0xff; /* as if masked in between */
	assert_int_equal(i8259_ack(&r->p, false), BASE + 15);
	assert_int_equal(isr(r, 0), 4);
	assert_int_equal(isr(r, 1), 0);
}

static void levels(void **state)
{
	struct rig *r = *state;

	i8259_elcr_ops.write(&r->p, 0, 2, 0xffff);
	assert_int_equal(i8259_elcr_ops.read(&r->p, 0, 2), 0xdef8); /* not timer, keyboard, cascade; RTC, coprocessor */
	assert_int_equal(i8259_elcr_ops.read(&r->p, 1, 1), 0xde);
	up(r, 5);
	assert_int_equal(ack(r), 5);
	assert_int_equal(irr(r, 0), 0x20); /* as long as it is high */
	assert_int_equal(ack(r), -1);
	cmd(r, 0, EOI);
	assert_int_equal(ack(r), 5);
	down(r, 5);
	cmd(r, 0, EOI);
	assert_int_equal(ack(r), -1);
	assert_int_equal(irr(r, 0), 0);
	/* ICW1 leaves ELCR alone, and LTIM does nothing. */
	cmd(r, 0, 0x19);
	data(r, 0, BASE);
	data(r, 0, 4);
	data(r, 0, 1);
	assert_int_equal(i8259_elcr_ops.read(&r->p, 0, 2), 0xdef8);
	up(r, 1);
	assert_int_equal(ack(r), 1);
	cmd(r, 0, EOI);
	assert_int_equal(ack(r), -1);
}

static void priorities_nest(void **state)
{
	struct rig *r = *state;

	up(r, 6);
	up(r, 3);
	assert_int_equal(ack(r), 3);
	assert_int_equal(ack(r), -1);
	up(r, 1);
	assert_int_equal(ack(r), 1);
	assert_int_equal(isr(r, 0), 0x0a);
	cmd(r, 0, EOI); /* the highest */
	assert_int_equal(isr(r, 0), 0x08);
	cmd(r, 0, EOI_OF(3));
	assert_int_equal(ack(r), 6);
}

static void masks(void **state)
{
	struct rig *r = *state;

	data(r, 0, 0x10);
	assert_int_equal(rd(r, 0, 1), 0x10);
	up(r, 4);
	assert_int_equal(r->out, 0);
	assert_int_equal(irr(r, 0), 0x10);
	assert_int_equal(i8259_asks(&r->p, 4), -1);
	data(r, 0, 0);
	assert_int_equal(i8259_asks(&r->p, 4), 1);
	assert_int_equal(ack(r), 4);
	assert_int_equal(i8259_asks(&r->p, 4), 0);
}

static void cascade(void **state)
{
	struct rig *r = *state;

	up(r, 2); /* the slave's input is nobody else's */
	assert_int_equal(r->out, 0);
	up(r, 12);
	up(r, 3);
	assert_int_equal(ack(r), 12); /* before 3: the slave is on 2 */
	assert_int_equal(isr(r, 0), 4);
	assert_int_equal(isr(r, 1), 0x10);
	/* Plainly nested, the master holds back what is higher in the slave. */
	up(r, 8);
	assert_int_equal(ack(r), -1);
	cmd(r, 0, EOI);
	assert_int_equal(ack(r), 8);
	cmd(r, 1, EOI_OF(0));
	cmd(r, 0, EOI);
	assert_int_equal(isr(r, 1), 0x10);
	assert_int_equal(ack(r), 3);
	cmd(r, 0, EOI);
	up(r, 13); /* behind 12, in service in the slave */
	assert_int_equal(ack(r), -1);
	cmd(r, 1, EOI);
	assert_int_equal(ack(r), 13);
}

static void special_fully_nested(void **state)
{
	struct rig *r = *state;

	init_chip(r, 0, 0x11);
	up(r, 12);
	assert_int_equal(ack(r), 12);
	up(r, 9);
	up(r, 3);
	assert_int_equal(ack(r), 9); /* at once */
	assert_int_equal(ack(r), -1); /* and 3 still waits */
	cmd(r, 1, EOI);
	assert_int_equal(isr(r, 1), 0x10);
	cmd(r, 1, EOI);
	cmd(r, 0, EOI);
	assert_int_equal(ack(r), 3);
}

static void special_mask(void **state)
{
	struct rig *r = *state;

	up(r, 3);
	assert_int_equal(ack(r), 3);
	data(r, 0, 0x08);
	cmd(r, 0, 0x68); /* on */
	up(r, 5);
	assert_int_equal(ack(r), 5); /* although lower */
	/* A non-specific EOI passes over what is masked. */
	cmd(r, 0, EOI);
	assert_int_equal(isr(r, 0), 0x08);
	cmd(r, 0, EOI);
	assert_int_equal(isr(r, 0), 0x08);
	cmd(r, 0, 0x48); /* off */
	up(r, 6);
	assert_int_equal(ack(r), -1);
	cmd(r, 0, 0x28); /* SMM without ESMM: nothing */
	assert_int_equal(ack(r), -1);
	cmd(r, 0, EOI);
	assert_int_equal(ack(r), 6);
}

static void rotations(void **state)
{
	struct rig *r = *state;

	cmd(r, 0, 0xc4); /* 4 is the lowest, so 5 the highest */
	up(r, 4);
	up(r, 0);
	up(r, 5);
	assert_int_equal(ack(r), 5);
	cmd(r, 0, 0xa0); /* rotate on EOI: 5 is the lowest */
	assert_int_equal(ack(r), 0);
	cmd(r, 0, 0xe3); /* on a specific EOI: ends 3, which is nothing, and 4 is the highest */
	assert_int_equal(isr(r, 0), 1);
	assert_int_equal(ack(r), 4);
	assert_int_equal(isr(r, 0), 0x11);
	cmd(r, 0, EOI); /* the highest by the order as it is: 4 */
	assert_int_equal(isr(r, 0), 1);
	cmd(r, 0, 0x40); /* no operation */
	assert_int_equal(isr(r, 0), 1);
}

static void auto_eoi(void **state)
{
	struct rig *r = *state;

	init_chip(r, 0, 0x03);
	up(r, 4);
	assert_int_equal(ack(r), 4);
	assert_int_equal(isr(r, 0), 0);
	up(r, 6);
	assert_int_equal(ack(r), 6);
	/* With rotation, who was served comes last. */
	cmd(r, 0, 0x80);
	down(r, 4);
	up(r, 4);
	assert_int_equal(ack(r), 4);
	down(r, 4);
	up(r, 4);
	up(r, 7);
	assert_int_equal(ack(r), 7);
	cmd(r, 0, 0x00);
	assert_int_equal(ack(r), 4);
	up(r, 1);
	down(r, 7);
	up(r, 7);
	assert_int_equal(ack(r), 1); /* 7 stayed the lowest */
}

static void polling(void **state)
{
	struct rig *r = *state;

	cmd(r, 0, 0x0c);
	assert_int_equal(rd(r, 0, 0), 0);
	up(r, 5);
	cmd(r, 0, 0x0c);
	assert_int_equal(rd(r, 0, 0), 0x85);
	assert_int_equal(isr(r, 0), 0x20);
	assert_int_equal(r->out, 0);
	cmd(r, 0, EOI);
	up(r, 10);
	cmd(r, 0, 0x0c);
	assert_int_equal(rd(r, 0, 1), 0x82); /* either port */
	cmd(r, 1, 0x0c);
	assert_int_equal(rd(r, 1, 0), 0x82);
	assert_int_equal(isr(r, 1), 4);
	assert_int_equal(rd(r, 0, 1), 0); /* and then the mask again */
}

static void initialization(void **state)
{
	struct rig *r = *state;

	up(r, 4);
	assert_int_equal(ack(r), 4);
	up(r, 5);
	data(r, 0, 0x81);
	cmd(r, 0, 0x68);
	cmd(r, 0, 0x0b);
	cmd(r, 0, 0xc2);
	cmd(r, 0, 0x11);
	assert_int_equal(rd(r, 0, 1), 0); /* the mask is cleared */
	assert_int_equal(rd(r, 0, 0), 0); /* IRR is selected; the edge is forgotten */
	assert_int_equal(isr(r, 0), 0);
	/* Nothing comes before the last word. */
	down(r, 5);
	up(r, 5);
	data(r, 0, 0x47); /* the low bits are not part of a vector */
	data(r, 0, 4);
	assert_int_equal(r->out, 0);
	data(r, 0, 1);
	assert_int_equal(r->out, 1);
	up(r, 1);
	assert_int_equal(i8259_ack(&r->p, true), 0x41); /* the order is the plain one again */
	/* Neither ICW3 nor ICW4: single, and no ICW4 clears what that had set. */
	init_chip(r, 0, 0x13);
	cmd(r, 0, 0x12);
	data(r, 0, BASE);
	data(r, 0, 0xf0);
	assert_int_equal(rd(r, 0, 1), 0xf0);
	down(r, 1);
	up(r, 1);
	assert_int_equal(ack(r), 1);
	assert_int_equal(isr(r, 0), 2);
}

static void widths(void **state)
{
	struct rig *r = *state;

	i8259_master_ops.write(&r->p, 0, 2, 0xa50a);
	assert_int_equal(i8259_master_ops.read(&r->p, 0, 2), 0xa500);
	assert_int_equal(i8259_master_ops.read(&r->p, 1, 2), 0xffa5);
	i8259_master_ops.write(&r->p, 1, 4, 0xffffff5a);
	assert_int_equal(rd(r, 0, 1), 0x5a);
	i8259_set(&r->p, 16, 1);
	i8259_set(&r->p, UINT32_MAX, 1);
	assert_int_equal(r->out, 0);
}

/* What INT says and what an acknowledgement gives are the same, whatever happens. */
static void random_accesses(void **state)
{
	struct rig *r = *state;
	uint64_t seed = 88172645463325252ull;

	for (int i = 0; i < 300000; i++) {
		bool asked = r->out;
		int vector;

		seed ^= seed << 13;
		seed ^= seed >> 7;
		seed ^= seed << 17;
		switch (seed >> 8 & 7) {
		case 0:
			cmd(r, seed >> 16 & 1, (uint8_t)(seed >> 24 & (seed >> 17 & 1 ? 0xff : 0xef)));
			break;
		case 1:
			data(r, seed >> 16 & 1, (uint8_t)(seed >> 24));
			break;
		case 2:
			rd(r, seed >> 16 & 1, seed >> 17 & 1);
			break;
		case 3:
			i8259_elcr_ops.write(&r->p, 0, 2, seed >> 24);
			break;
		case 4:
			vector = i8259_ack(&r->p, true);
			assert_int_equal(vector >= 0, asked);
			break;
		default:
			i8259_set(&r->p, seed >> 16 & 15, seed >> 24 & 1);
		}
		assert_int_equal(r->out, i8259_output(&r->p));
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(power_on_is_masked), T(an_edge_asks_once), T(a_request_that_is_withdrawn), T(levels), T(priorities_nest),
		T(masks), T(cascade), T(special_fully_nested), T(special_mask), T(rotations), T(auto_eoi), T(polling),
		T(initialization), T(widths), T(random_accesses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
