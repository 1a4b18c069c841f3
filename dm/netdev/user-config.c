/* SPDX-License-Identifier: MIT */
/* The options of backend = "user", as libslirp wants them. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "dm/netdev/user-internal.h"

/* What the DHCP reply has room for, and struct bootp_t.bp_file. */
#define BOOTFILE_MAX 127
#define NAME_MAX_LEN 255
#define HOSTNAME_MAX 32

struct source {
	const struct gamut_host *host;
	struct gamut_inst *inst;
};

/* An address of the guest's network that may be given; offset is the default's place in it. */
static int read_address(const struct source *s, const char *name, const SlirpConfig *c, uint32_t offset,
                        struct in_addr *address)
{
	uint32_t net = ntohl(c->vnetwork.s_addr), mask = ntohl(c->vnetmask.s_addr), value = net + offset;
	const char *text = NULL;

	if (s->host->option_string(s->inst, name, &text) && inet_pton(AF_INET, text, address) != 1)
		return s->host->fail(s->inst, EINVAL, "%s: \"%s\" is no IPv4 address", name, text);
	if (text)
		value = ntohl(address->s_addr);
	/* Neither another network's, nor the network itself, nor its broadcast address. */
	if ((value & mask) != net || value == net || value == (net | ~mask))
		return s->host->fail(s->inst, EINVAL, "%s: %s; give one", name,
		                     text ? "is no address of the network's machines" : "the network has no room for the default");
	address->s_addr = htonl(value);
	return 0;
}

/* "10.0.2.0/24" */
static int read_network(const struct source *s, SlirpConfig *c)
{
	const char *text = "10.0.2.0/24";
	char address[INET_ADDRSTRLEN];
	unsigned prefix;
	uint32_t mask;
	int end = 0;

	s->host->option_string(s->inst, "network", &text);
	if (sscanf(text, "%15[0-9.]/%2u%n", address, &prefix, &end) != 2 || text[end] ||
	    inet_pton(AF_INET, address, &c->vnetwork) != 1 || prefix < 4 || prefix > 29)
		return s->host->fail(s->inst, EINVAL,
		                     "network: \"%s\" is none; write 10.0.2.0/24, with 4 to 29 bits", text);
	mask = 0xffffffffu << (32 - prefix);
	if (ntohl(c->vnetwork.s_addr) & ~mask)
		return s->host->fail(s->inst, EINVAL, "network: %s has bits beyond its first %u", text, prefix);
	c->vnetmask.s_addr = htonl(mask);
	return 0;
}

static int read_ipv4(const struct source *s, SlirpConfig *c)
{
	int flag = 1, err;

	s->host->option_bool(s->inst, "ipv4", &flag);
	c->in_enabled = flag;
	err = read_network(s, c);
	if (!err)
		err = read_address(s, "host", c, 2, &c->vhost);
	if (!err)
		err = read_address(s, "dns", c, 3, &c->vnameserver);
	if (!err)
		err = read_address(s, "dhcp-start", c, 15, &c->vdhcp_start);
	if (!err && (c->vhost.s_addr == c->vnameserver.s_addr || c->vhost.s_addr == c->vdhcp_start.s_addr ||
	             c->vnameserver.s_addr == c->vdhcp_start.s_addr))
		err = s->host->fail(s->inst, EINVAL, "host, dns and dhcp-start: must be three addresses");
	return err;
}

static void read_ipv6(const struct source *s, SlirpConfig *c)
{
	int flag = 1;

	s->host->option_bool(s->inst, "ipv6", &flag);
	c->in6_enabled = flag;
	inet_pton(AF_INET6, "fec0::", &c->vprefix_addr6);
	c->vprefix_len = 64;
	inet_pton(AF_INET6, "fec0::2", &c->vhost6);
	inet_pton(AF_INET6, "fec0::3", &c->vnameserver6);
}

static int read_name(const struct source *s, const char *name, size_t max, const char **value)
{
	*value = NULL;
	if (!s->host->option_string(s->inst, name, value))
		return 0;
	if (!**value)
		*value = NULL;
	else if (strlen(*value) > max)
		return s->host->fail(s->inst, EINVAL, "%s: is longer than %zu bytes", name, max);
	return 0;
}

static int read_names(const struct source *s, struct user_config *config)
{
	SlirpConfig *c = &config->slirp;
	uint32_t n = 0;
	int err = read_name(s, "hostname", HOSTNAME_MAX, &c->vhostname);

	if (!err)
		err = read_name(s, "domainname", NAME_MAX_LEN, &c->vdomainname);
	if (!err)
		err = read_name(s, "bootfile", BOOTFILE_MAX, &c->bootfile);
	if (!err)
		err = read_name(s, "tftp", 4095, &c->tftp_path);
	while (!err && n < USER_SEARCH_MAX && s->host->option_list(s->inst, "search", n, &config->search[n]))
		if (!*config->search[n] || strlen(config->search[n++]) > NAME_MAX_LEN)
			err = s->host->fail(s->inst, EINVAL, "search: every entry is a domain's name");
	if (!err && n == USER_SEARCH_MAX)
		err = s->host->fail(s->inst, EINVAL, "search: has room for %d names", USER_SEARCH_MAX - 1);
	config->search[n] = NULL;
	c->vdnssearch = n ? config->search : NULL;
	return err;
}

/* The guest's sockets are this process's descriptors: they must leave some to everybody else. */
static void read_connections(const struct source *s, struct user_config *config)
{
	int64_t number = 1024;
	struct rlimit limit;

	s->host->option_int(s->inst, "connections", &number);
	if (!getrlimit(RLIMIT_NOFILE, &limit) && limit.rlim_cur != RLIM_INFINITY &&
	    (rlim_t)number > limit.rlim_cur / 2) {
		number = (int64_t)(limit.rlim_cur / 2);
		s->host->log(s->inst, GAMUT_LOG_DEBUG, "connections: at most %lld, for RLIMIT_NOFILE",
		             (long long)number);
	}
	config->connections = (uint32_t)number;
}

/* libslirp's own has room for the segments that it makes for us to cut: see user-out.c. */
static void read_mtu(const struct source *s, struct user_config *config)
{
	int64_t mtu = 1500;

	s->host->option_int(s->inst, "mtu", &mtu);
	config->mtu = (uint32_t)mtu;
	/* It takes the longer headers off for IPv4, too. */
	config->slirp.if_mtu = config->slirp.if_mru = user_big_segment(config->mtu) + USER_HEADERS6;
}

int user_config_read(const struct gamut_host *host, struct gamut_inst *inst, struct user_config *config)
{
	struct source s = {host, inst};
	int flag = 0, err;

	*config = (struct user_config){.slirp.version = SLIRP_CONFIG_VERSION_MAX};
	host->option_bool(inst, "restrict", &flag);
	config->slirp.restricted = flag;
	err = read_ipv4(&s, &config->slirp);
	if (!err)
		err = read_names(&s, config);
	read_ipv6(&s, &config->slirp);
	read_connections(&s, config);
	read_mtu(&s, config);
	return err;
}

/* ---- forwards ---- */

/* Takes "HOST:PORT" up to `stop`; host is "" or an address, IPv6 in brackets. */
static bool parse_end(const char **text, char stop, struct sockaddr_storage *to, socklen_t *length)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)to;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)to;
	bool six = **text == '[';
	const char *at = *text + six, *end = strchr(at, six ? ']' : ':');
	char address[INET6_ADDRSTRLEN] = "0.0.0.0";
	unsigned long port;
	char *rest;

	memset(to, 0, sizeof(*to));
	if (!end || (size_t)(end - at) >= sizeof(address) || (six && end[1] != ':'))
		return false;
	if (end > at) {
		memcpy(address, at, (size_t)(end - at));
		address[end - at] = 0;
	} else if (six) {
		return false;
	}
	end += six + 1;
	if (*end < '0' || *end > '9')
		return false;
	port = strtoul(end, &rest, 10);
	if (*rest != stop || !port || port > 65535)
		return false;
	*text = rest + (stop != 0);
	if (six) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((uint16_t)port);
		*length = sizeof(*v6);
		return inet_pton(AF_INET6, address, &v6->sin6_addr) == 1;
	}
	v4->sin_family = AF_INET;
	v4->sin_port = htons((uint16_t)port);
	*length = sizeof(*v4);
	return inet_pton(AF_INET, address, &v4->sin_addr) == 1;
}

bool user_forward_parse(const char *text, struct user_forward *forward)
{
	socklen_t guest_length;

	forward->udp = !strncmp(text, "udp:", 4);
	if (!forward->udp && strncmp(text, "tcp:", 4))
		return false;
	text += 4;
	return parse_end(&text, '-', &forward->host, &forward->length) &&
	       parse_end(&text, 0, &forward->guest, &guest_length) && guest_length == forward->length;
}
