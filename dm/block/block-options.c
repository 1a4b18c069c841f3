/* SPDX-License-Identifier: MIT */
#include "dm/block/block-options.h"

#include <string.h>

const char *const block_direct_choices[] = {"auto", "on", "off", NULL};
const char *const block_aio_choices[] = {"auto", "threads", NULL};

void block_options_read(const struct gamut_host *host, struct gamut_inst *inst, struct block_options *o)
{
	const char *text;
	int64_t number;
	int flag;

	memset(o, 0, sizeof(*o));
	host->option_string(inst, "format", &o->format);
	if (host->option_bool(inst, "readonly", &flag))
		o->readonly = flag;
	if (host->option_bool(inst, "discard", &flag))
		o->no_discard = !flag;
	if (host->option_string(inst, "direct", &text))
		for (uint8_t i = 0; block_direct_choices[i]; i++)
			if (!strcmp(block_direct_choices[i], text))
				o->direct = i;
	if (host->option_string(inst, "aio", &text))
		o->no_uring = !strcmp(text, "threads");
	if (host->option_int(inst, "queue-depth", &number))
		o->queue_depth = (uint32_t)number;
}
