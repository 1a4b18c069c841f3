/* SPDX-License-Identifier: MIT */
/* A built plugin as the core loads it. The test's program must depend on the plugin and link with dl. */
#ifndef PLUGIN_LOAD_H
#define PLUGIN_LOAD_H

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "gamut/plugin.h"

/* folder is where plugins/ is. Its only descriptor; NULL, with a message, when it cannot be. */
static inline const struct gamut_descriptor *plugin_load(const char *folder, const char *name, void **so)
{
	const struct gamut_plugin *plugin;
	char path[512];

	snprintf(path, sizeof(path), "%s/plugins/%s.so", folder, name);
	*so = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	plugin = *so ? dlsym(*so, GAMUT_PLUGIN_SYMBOL) : NULL;
	if (plugin && plugin->magic == GAMUT_PLUGIN_MAGIC && !strcmp(plugin->name, name) && plugin->n_descriptors == 1)
		return plugin->descriptors[0];
	fprintf(stderr, "%s is not a plugin of that name: %s\n", path, *so ? "its symbol is missing or wrong" : dlerror());
	return NULL;
}

#endif
