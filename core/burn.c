/* SPDX-License-Identifier: MIT */
#include "burn.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmd.h"
#include "domain.h"

static int find_axis(const char *text, size_t len)
{
	for (int axis = 0; axis < GAMUT_AXIS_COUNT; axis++) {
		const char *name = axis_name((enum gamut_axis)axis);

		if (strlen(name) == len && !memcmp(text, name, len))
			return axis;
	}
	return -1;
}

int burn_parse(const char *text, const char *what, uint64_t *ns)
{
	size_t len = strcspn(text, "=");
	int axis = find_axis(text, len);
	char *end;
	unsigned long long value;

	if (!text[len])
		return cmd_usage(what, "--burn wants AXIS=NS, as disk=20000, not \"%s\"", text);
	if (axis < 0)
		return cmd_usage(what, "--burn: there is no axis \"%.*s\": disk, net, interrupts, platform, mmu, console",
		                 (int)len, text);
	errno = 0;
	value = strtoull(text + len + 1, &end, 10);
	if (!isdigit((unsigned char)text[len + 1]) || *end || errno || value > BURN_MAX_NS)
		return cmd_usage(what, "--burn %s wants nanoseconds, 0 to %u, not \"%s\"",
		                 axis_name((enum gamut_axis)axis), BURN_MAX_NS, text + len + 1);
	ns[axis] = value;
	return CMD_OK;
}

static uint64_t to_ticks(const struct clock_scale *s, uint64_t ns)
{
	unsigned __int128 ticks = s->mul ? ((unsigned __int128)ns << 32) / s->mul : ns;

	return (uint64_t)(s->shift >= 0 ? ticks >> s->shift : ticks << -s->shift);
}

int domain_burn(struct domain *d)
{
	const uint64_t *ns = d->options.burn_ns;
	uint64_t any = 0;

	for (int axis = 0; ns && axis < GAMUT_AXIS_COUNT; axis++)
		any |= ns[axis];
	if (!any)
		return 0;
	d->burn = calloc(d->n_instances + 1, sizeof(*d->burn));
	if (!d->burn)
		return -ENOMEM;
	for (uint32_t i = 0; i < d->n_instances; i++) {
		struct gamut_inst *inst = &d->instances[i];

		d->burn[inst->index] = inst->io.burn = to_ticks(&d->clock.scale, ns[inst->config->axis]);
	}
	for (uint32_t i = 0; i < d->vcpus.n; i++)
		d->vcpus.vcpu[i]->counters.burn = d->burn;
	return 0;
}
