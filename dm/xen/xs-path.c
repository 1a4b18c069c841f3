/* SPDX-License-Identifier: MIT */
#include "dm/xen/xs-path.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char home_prefix[] = "/local/domain/";

uint32_t xs_path_home(uint32_t domid, char home[XS_HOME_SIZE])
{
	return (uint32_t)snprintf(home, XS_HOME_SIZE, "%s%u", home_prefix, domid);
}

static bool char_valid(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c && strchr("-/_@", c));
}

/* Length of what follows "/local/domain/<number>/", or 0 when the path is elsewhere. */
static size_t relative_length(const char *path)
{
	size_t prefix = sizeof(home_prefix) - 1;
	const char *rest;

	if (strncmp(path, home_prefix, prefix))
		return 0;
	rest = strchr(path + prefix, '/');
	return rest ? strlen(rest + 1) : 0;
}

bool xs_path_valid(const char *path)
{
	size_t len = strlen(path);

	if (path[0] != '/' || len > XENSTORE_ABS_PATH_MAX || relative_length(path) > XENSTORE_REL_PATH_MAX)
		return false;
	if (len == 1)
		return true;
	if (path[len - 1] == '/')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!char_valid(path[i]) || (path[i] == '/' && path[i + 1] == '/'))
			return false;
	return true;
}

static bool special_valid(const char *path)
{
	size_t len = strlen(path);

	for (size_t i = 0; i < len; i++)
		if (!char_valid(path[i]))
			return false;
	return len > 1 && len <= XENSTORE_REL_PATH_MAX;
}

int xs_path_canonical(uint32_t domid, const char *path, bool watch, char out[XS_PATH_SIZE])
{
	char home[XS_HOME_SIZE];
	int n;

	if (path[0] == '@') {
		if (!watch || !special_valid(path))
			return -EINVAL;
		memcpy(out, path, strlen(path) + 1);
		return 0;
	}
	if (path[0] == '/') {
		n = snprintf(out, XS_PATH_SIZE, "%s", path);
	} else {
		xs_path_home(domid, home);
		n = snprintf(out, XS_PATH_SIZE, "%s/%s", home, path);
	}
	return n > 0 && n < XS_PATH_SIZE && xs_path_valid(out) ? 0 : -EINVAL;
}

bool xs_path_below(const char *path, const char *dir)
{
	size_t len = strlen(dir);

	if (len == 1 && dir[0] == '/')
		return path[0] == '/';
	return !strncmp(path, dir, len) && (path[len] == '\0' || path[len] == '/');
}

const char *xs_path_next(const char **pos, uint32_t *len)
{
	const char *start = *pos;

	while (*start == '/')
		start++;
	if (!*start)
		return NULL;
	*len = (uint32_t)strcspn(start, "/");
	*pos = start + *len;
	return start;
}
