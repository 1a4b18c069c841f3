/* SPDX-License-Identifier: MIT */
/* Any bytes as a domain file, with the tests' fake plugins: refused with a problem, or good, but never a
 * crash. */
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "conf.h"
#include "fuzz.h"

/* "abi/fake" next to the program. */
static void open_plugins(struct plugin_set *set)
{
	static const char sub[] = "/abi/fake";
	char dir[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", dir, sizeof(dir) - sizeof(sub));
	const char *const dirs[] = {dir};
	char *slash;

	if (n <= 0)
		abort();
	dir[n] = 0;
	slash = strrchr(dir, '/');
	memcpy(slash, sub, sizeof(sub));
	if (plugin_set_init_dirs(set, dirs, 1))
		abort();
}

static void load(const char *path, struct plugin_set *plugins)
{
	struct domain_config *config;
	struct diag diag;
	int rc;

	diag_init(&diag);
	rc = conf_load(&config, path, plugins, &diag);
	if ((rc == 0) != (config != NULL) || (rc == 0) != (diag.n_errors == 0))
		abort();
	conf_destroy(config);
	diag_finish(&diag);
}

/* libconfig itself loses the text of a string that does not end. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);

const char *__lsan_default_suppressions(void)
{
	return "leak:libconfig.so";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct plugin_set plugins;
	char path[64];
	int fd = memfd_create("domain file", MFD_CLOEXEC);

	if (plugins.n_dirs == 0)
		open_plugins(&plugins);
	if (fd < 0 || (size && write(fd, data, size) != (ssize_t)size))
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	load(path, &plugins);
	close(fd);
	return 0;
}
