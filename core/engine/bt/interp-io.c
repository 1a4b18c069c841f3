/* SPDX-License-Identifier: MIT */
/* Port I/O: through the replay record of interp.h. */
#include "engine/bt/interp-internal.h"

enum bt_step io_port(struct bt_vcpu *v, uint16_t port, unsigned width, bool write, uint64_t *value)
{
	struct vcpu_exit *exit = v->exit;
	uint64_t answer;

	if (replay_take(v, &answer)) {
		if (!write)
			*value = answer & size_mask(width);
		return STEP_OK;
	}
	exit->reason = EXIT_PIO;
	exit->rip = v->rip;
	exit->pio.port = port;
	exit->pio.width = (uint8_t)width;
	exit->pio.write = write;
	exit->pio.data = write ? (uint32_t)(*value & size_mask(width)) : 0;
	return STEP_EXIT;
}

static uint16_t port_of(const struct bt_vcpu *v, const struct interp *x)
{
	return x->in.imm_size ? (uint16_t)x->in.imm : (uint16_t)v->gpr[RDX];
}

static unsigned width_of(const struct interp *x)
{
	return x->in.opsize == 8 ? 4 : x->in.opsize;
}

enum bt_step io_in(struct bt_vcpu *v, struct interp *x)
{
	uint64_t value;
	enum bt_step step = sys_io_check(v, port_of(v, x), width_of(x));

	if (step == STEP_OK)
		step = io_port(v, port_of(v, x), width_of(x), false, &value);
	if (step == STEP_OK)
		set_gpr(v, RAX, value, width_of(x));
	return step;
}

enum bt_step io_out(struct bt_vcpu *v, struct interp *x)
{
	enum bt_step step = sys_io_check(v, port_of(v, x), width_of(x));

	return step == STEP_OK ? io_port(v, port_of(v, x), width_of(x), true, &v->gpr[RAX]) : step;
}
