/* SPDX-License-Identifier: MIT */
/*
 * The hypervisor's emergency console: console_io, and for guests in HVM
 * containers a port of the same use. A guest may write, as to a debug build of
 * Xen; lines go to the domain's log at debug level, printable characters only
 * and at most LINES_A_SECOND of them. Reading is for domain 0.
 */
#include "dm/xen/platform.h"

#include <errno.h>

#define LINES_A_SECOND 64u
#define CHUNK 256u

/* Under p->line_lock. */
static void flush_line(struct xen_platform *p)
{
	uint64_t second = p->env.host->time_now(p->env.inst) / 1000000000u;

	if (second != p->line_second) {
		p->line_second = second;
		p->line_count = 0;
	}
	if (p->line_count++ < LINES_A_SECOND)
		p->env.host->log(p->env.inst, GAMUT_LOG_DEBUG, "guest: %.*s", (int)p->line_len, p->line);
	else
		xen_count(p->lines_dropped);
	p->line_len = 0;
}

void xen_console_put(struct xen_platform *p, const char *text, uint32_t n)
{
	pthread_mutex_lock(&p->line_lock);
	for (uint32_t i = 0; i < n; i++) {
		char c = text[i];

		if (c == '\n' || p->line_len == sizeof(p->line))
			flush_line(p);
		if (c >= ' ' && c <= '~')
			p->line[p->line_len++] = c;
	}
	pthread_mutex_unlock(&p->line_lock);
}

/* args: count, text. A long text is taken a chunk at a time, restarting behind it. */
static int64_t op_write(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	struct xen_platform *p = self;
	uint32_t count = (uint32_t)call->args[1], n = count < CHUNK ? count : CHUNK;
	char text[CHUNK];

	if ((int32_t)count < 0)
		return -EINVAL;
	if (xen_get_raw(&p->env, call, arg, text, n))
		return -EFAULT;
	xen_console_put(p, text, n);
	if (n < count) {
		call->args[1] = count - n;
		call->args[2] += n;
		call->restart = 1;
	}
	return 0;
}

static int64_t op_read(void *self, struct gamut_hypercall *call, uint64_t arg)
{
	(void)self;
	(void)call;
	(void)arg;
	return -EPERM;
}

static const xen_subop_fn ops[] = {
	[CONSOLEIO_write] = op_write,
	[CONSOLEIO_read] = op_read,
};

int64_t xen_console_io(void *opaque, struct gamut_hypercall *call)
{
	struct xen_platform *p = opaque;

	return xen_dispatch(&p->env, ops, sizeof(ops) / sizeof(ops[0]), p, call, (uint32_t)call->args[0],
	                    call->args[2]);
}

/* All ones, as from a port that nobody answers. */
static uint64_t port_read(void *opaque, uint64_t offset, uint32_t width)
{
	(void)opaque;
	(void)offset;
	(void)width;
	return UINT64_MAX;
}

static void port_write(void *opaque, uint64_t offset, uint32_t width, uint64_t value)
{
	char c = (char)value;

	(void)offset;
	(void)width;
	xen_console_put(opaque, &c, 1);
}

static const struct gamut_io_ops port_ops = {
	.size = sizeof(struct gamut_io_ops),
	.read = port_read,
	.write = port_write,
};

int xen_console_port_register(struct xen_platform *p)
{
	return p->env.host->pio_register(p->env.inst, XEN_HVM_DEBUGCONS_IOPORT, 1, &port_ops, p);
}
