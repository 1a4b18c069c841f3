/* SPDX-License-Identifier: MIT */
#include "dm/block/block-options.h"

#include <errno.h>
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
	if (host->option_string(inst, "bps", &text))
		o->bps = text;
	if (host->option_int(inst, "iops", &number))
		o->iops = (uint64_t)number;
	if (host->option_int(inst, "burst", &number))
		o->burst = (uint32_t)number;
}

#define CD_SECTOR 2048u

int block_open_instance(const struct gamut_host *host, struct gamut_inst *inst, const char *path, bool cdrom,
                        struct block **block)
{
	struct block_options options;
	char err[256];

	block_options_read(host, inst, &options);
	options.readonly |= cdrom;
	*block = block_open(host, inst, path, &options, err, sizeof(err));
	if (!*block)
		return host->fail(inst, errno ? errno : EIO, "%s", err);
	if (!cdrom || (*block)->info.capacity >= CD_SECTOR)
		return 0;
	block_close(*block);
	*block = NULL;
	return host->fail(inst, EINVAL, "%s: is less than one sector of a CD", path);
}
