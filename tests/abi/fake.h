/* SPDX-License-Identifier: MIT */
/* Pieces for the plugins of the tests: correct ones, and ones with a single fault each. */
#ifndef FAKE_H
#define FAKE_H

#include "gamut/host.h"
#include "gamut/plugin.h"

#include <errno.h>

/* An instance without state. */
static inline int fake_create(const struct gamut_host *host, struct gamut_inst *inst, void **self)
{
	(void)host;
	(void)inst;
	*self = (void *)"fake";
	return 0;
}

static inline void fake_destroy(void *self)
{
	(void)self;
}

#define FAKE_OPS                                                                                             \
	static const struct gamut_ops ops = {                                                                \
	        .size = sizeof(ops), .create = fake_create, .destroy = fake_destroy}

#define FAKE_PLUGIN(plugin_name, ...)                                                                        \
	static const struct gamut_descriptor desc = {.size = sizeof(desc), .ops = &ops, __VA_ARGS__};        \
	static const struct gamut_descriptor *const descs[] = {&desc};                                       \
	GAMUT_EXPORT const struct gamut_plugin gamut_plugin = {                                              \
	        GAMUT_PLUGIN_HEADER, .name = plugin_name, .version = "1.0",                                  \
	        .licence = "MIT",    .n_descriptors = 1,  .descriptors = descs,                              \
	}

#endif
