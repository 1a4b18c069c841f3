/* SPDX-License-Identifier: MIT */
/* Back ends by name, and the address of a card. */
#include "dm/netdev/netdev.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dm/netdev/limit.h"
#include "dm/netdev/tap.h"
#include "dm/netdev/user.h"

const char *const netdev_backends[] = {"user", "tap", NULL};

/* In the order of netdev_backends. */
static netdev_open_fn *const openers[] = {netdev_user_open, netdev_tap_open};

/* The options that are one back end's alone. */
static const struct {
	const char *name;
	uint32_t type; /* enum gamut_option_type */
	const char *backend;
} own[] = {
        {"ifname", GAMUT_OPTION_STRING, "tap"},        {"bridge", GAMUT_OPTION_STRING, "tap"},
        {"forward", GAMUT_OPTION_LIST, "user"},        {"tftp", GAMUT_OPTION_STRING, "user"},
        {"bootfile", GAMUT_OPTION_STRING, "user"},     {"hostname", GAMUT_OPTION_STRING, "user"},
        {"domainname", GAMUT_OPTION_STRING, "user"},   {"search", GAMUT_OPTION_LIST, "user"},
        {"network", GAMUT_OPTION_STRING, "user"},      {"host", GAMUT_OPTION_STRING, "user"},
        {"dns", GAMUT_OPTION_STRING, "user"},          {"dhcp-start", GAMUT_OPTION_STRING, "user"},
        {"ipv4", GAMUT_OPTION_BOOL, "user"},           {"ipv6", GAMUT_OPTION_BOOL, "user"},
        {"restrict", GAMUT_OPTION_BOOL, "user"},       {"connections", GAMUT_OPTION_INT, "user"},
};

static bool given(const struct gamut_host *host, struct gamut_inst *inst, const char *name, uint32_t type)
{
	const char *text;
	int64_t number;
	int flag;

	switch (type) {
	case GAMUT_OPTION_LIST:
		return host->option_list(inst, name, 0, &text);
	case GAMUT_OPTION_BOOL:
		return host->option_bool(inst, name, &flag);
	case GAMUT_OPTION_INT:
		return host->option_int(inst, name, &number);
	default:
		return host->option_string(inst, name, &text);
	}
}

/* An option that does nothing is a mistake, and perhaps one that matters: "restrict" with a bridge. */
static int check_options(const struct gamut_host *host, struct gamut_inst *inst, const char *backend)
{
	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (strcmp(own[i].backend, backend) && given(host, inst, own[i].name, own[i].type))
			return host->fail(inst, EINVAL, "%s: is for backend = \"%s\", and this is \"%s\"", own[i].name,
			                  own[i].backend, backend);
	return 0;
}

struct netdev *netdev_open(const struct gamut_host *host, struct gamut_inst *inst, const struct netdev_front *front,
                           int *error)
{
	const char *name = netdev_backends[0];

	host->option_string(inst, "backend", &name);
	for (size_t i = 0; netdev_backends[i]; i++) {
		if (strcmp(netdev_backends[i], name))
			continue;
		*error = check_options(host, inst, name);
		return *error ? NULL : netdev_limit_open(host, inst, front, openers[i], error);
	}
	*error = host->fail(inst, EINVAL, "there is no network back end \"%s\"", name);
	return NULL;
}

/* FNV-1a; an address need be nothing but the same next time and another elsewhere. */
static uint32_t hash(uint32_t h, const void *data, size_t n)
{
	const uint8_t *p = data;

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * 16777619u;
	return h;
}

static void make_mac(const uint8_t uuid[16], uint32_t unit, uint8_t mac[NETDEV_MAC])
{
	uint32_t h = hash(2166136261u, uuid, 16) + unit;

	memcpy(mac, "\x00\x16\x3e", 3);
	/* Cards of one domain are consecutive. Xen's own tools leave the upper half alone. */
	mac[3] = (uint8_t)((h >> 16) & 0x7f);
	mac[4] = (uint8_t)(h >> 8);
	mac[5] = (uint8_t)h;
}

static bool parse_mac(const char *text, uint8_t mac[NETDEV_MAC])
{
	unsigned part[NETDEV_MAC];
	int end = 0;

	if (strlen(text) != 17 || strspn(text, "0123456789abcdefABCDEF:") != 17)
		return false;
	if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &part[0], &part[1], &part[2], &part[3], &part[4], &part[5],
	           &end) != 6 || end != 17)
		return false;
	for (unsigned i = 0; i < NETDEV_MAC; i++)
		mac[i] = (uint8_t)part[i];
	return true;
}

int netdev_mac(const struct gamut_host *host, struct gamut_inst *inst, uint8_t mac[NETDEV_MAC])
{
	static const uint8_t zero[NETDEV_MAC];
	const char *text;

	if (!host->option_string(inst, "mac", &text)) {
		make_mac(host->domain_uuid(inst), host->unit(inst), mac);
		return 0;
	}
	if (!parse_mac(text, mac))
		return host->fail(inst, EINVAL, "mac: \"%s\" is no address; write 00:16:3e:01:02:03", text);
	if (mac[0] & 1 || !memcmp(mac, zero, sizeof(zero)))
		return host->fail(inst, EINVAL, "mac: %s cannot be a card's: its first byte must be even, and not all zero",
		                  text);
	return 0;
}
