/* SPDX-License-Identifier: MIT */
#include "dm/xen/power.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dm/xen/xenbus.h"
#include "dm/xen/xenstore.h"

static const char *const words[] = {
	[GAMUT_POWER_OFF] = "poweroff",
	[GAMUT_POWER_REBOOT] = "reboot",
};

bool xen_power_heard(struct xenbus *bus)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/control/shutdown", xenbus_home(bus));
	return xenstore_is_watched(xenbus_store(bus), path);
}

int xen_power_request(struct xenbus *bus, uint32_t what)
{
	char path[64];
	int rc;

	if (what >= sizeof(words) / sizeof(words[0]))
		return -ENOTSUP;
	snprintf(path, sizeof(path), "%s/control/shutdown", xenbus_home(bus));
	rc = xenstore_write(xenbus_store(bus), path, words[what], (uint32_t)strlen(words[what]));
	return rc ? rc : xen_power_heard(bus) ? 0 : -EAGAIN;
}

int xen_power_if_offered(const struct gamut_xenbus_ops *bus, void *bus_self, uint32_t domid, uint32_t what)
{
	char path[80], *offer;
	bool offered;

	if (what >= sizeof(words) / sizeof(words[0]))
		return -ENOTSUP;
	snprintf(path, sizeof(path), "/local/domain/%u/control/feature-%s", domid, words[what]);
	offer = bus->read(bus_self, path, NULL);
	offered = offer && !strcmp(offer, "1");
	free(offer);
	snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown", domid);
	return offered ? bus->write(bus_self, path, words[what], (uint32_t)strlen(words[what])) : -ENOENT;
}
