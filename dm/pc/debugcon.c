/* SPDX-License-Identifier: MIT */
#include "dm/pc/debugcon.h"

#define THERE 0xe9u

static uint64_t port_read(void *opaque, uint64_t offset, uint32_t width)
{
	(void)opaque;
	(void)offset;
	(void)width;
	return THERE;
}

/* Lock held. */
static void flush(struct debugcon *d)
{
	if (d->len)
		d->host->log(d->inst, GAMUT_LOG_DEBUG, "firmware: %.*s", (int)d->len, d->line);
	d->len = 0;
}

static void take(struct debugcon *d, char c)
{
	if (c == '\n' || d->len == DEBUGCON_LINE)
		flush(d);
	if (c >= ' ' && c < 0x7f)
		d->line[d->len++] = c;
}

static void port_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	struct debugcon *d = opaque;

	(void)offset;
	(void)width;
	pthread_mutex_lock(&d->lock);
	take(d, (char)value);
	pthread_mutex_unlock(&d->lock);
}

static uint32_t port_write_many(void *opaque, uint64_t offset, uint32_t width, const void *buf, uint32_t count)
{
	struct debugcon *d = opaque;

	(void)offset;
	if (width != 1)
		return 0;
	pthread_mutex_lock(&d->lock);
	for (uint32_t i = 0; i < count; i++)
		take(d, ((const char *)buf)[i]);
	pthread_mutex_unlock(&d->lock);
	return count;
}

const struct gamut_io_ops debugcon_ops = {
	.size = sizeof(struct gamut_io_ops),
	.read = port_read,
	.write = port_write,
	.write_many = port_write_many,
};

int debugcon_init(struct debugcon *d, const struct gamut_host *host, struct gamut_inst *inst)
{
	*d = (struct debugcon){ .host = host, .inst = inst };
	pthread_mutex_init(&d->lock, NULL);
	return 0;
}

int debugcon_register(struct debugcon *d)
{
	return d->host->pio_register(d->inst, DEBUGCON_PORT, 1, &debugcon_ops, d);
}

void debugcon_reset(struct debugcon *d)
{
	pthread_mutex_lock(&d->lock);
	flush(d);
	pthread_mutex_unlock(&d->lock);
}

void debugcon_finish(struct debugcon *d)
{
	pthread_mutex_destroy(&d->lock);
}
