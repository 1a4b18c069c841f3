/* SPDX-License-Identifier: MIT */
#include "dm/limit/rate.h"

#include <string.h>

#define MS 1000000ull
#define S  (1000 * MS)

/* A decimal number of 32 bits, as Xen's. */
static bool parse_number(const char **text, uint64_t *value)
{
	const char *at = *text;

	*value = 0;
	for (; *at >= '0' && *at <= '9'; at++) {
		*value = *value * 10 + (uint64_t)(*at - '0');
		if (*value > UINT32_MAX)
			return false;
	}
	if (at == *text)
		return false;
	*text = at;
	return true;
}

/* What a letter before the unit multiplies by: 1 when it is none. */
static uint64_t multiplier(char letter)
{
	switch (letter) {
	case 'G':
		return 1000000000u;
	case 'M':
		return 1000000u;
	case 'K':
		return 1000u;
	default:
		return 1;
	}
}

/* 32 bits times 10^9 fit. */
static bool parse_bytes(const char **text, uint64_t *value)
{
	uint64_t times;

	if (!parse_number(text, value))
		return false;
	times = multiplier(**text);
	*value *= times;
	*text += times > 1;
	if (**text != 'b' && **text != 'B')
		return false;
	if (**text == 'b')
		*value /= 8;
	if (strncmp(++*text, "/s", 2))
		return false;
	*text += 2;
	return *value;
}

static bool parse_interval(const char *text, uint64_t *ns)
{
	static const struct {
		const char *unit;
		uint64_t ns;
	} units[] = {{"", S}, {"s", S}, {"ms", MS}, {"us", 1000}};

	if (!parse_number(&text, ns) || !*ns)
		return false;
	for (uint32_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (!strcmp(text, units[i].unit)) {
			*ns *= units[i].ns;
			return true;
		}
	return false;
}

bool rate_parse(const char *text, struct rate *rate)
{
	rate->interval = 50 * MS;
	if (!parse_bytes(&text, &rate->bytes))
		return false;
	return !*text || (*text == '@' && parse_interval(text + 1, &rate->interval));
}

uint64_t rate_burst(uint64_t rate, uint64_t interval)
{
	unsigned __int128 burst = (unsigned __int128)rate * interval / S;

	if (burst > UINT64_MAX)
		return UINT64_MAX;
	return burst ? (uint64_t)burst : 1;
}
