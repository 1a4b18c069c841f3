/* SPDX-License-Identifier: MIT */
/*
 * The folder where running domains are found, and the claims on their names.
 *
 * It is $XDG_RUNTIME_DIR/gamut, else /run/user/UID/gamut, else /tmp/gamut-UID:
 * ours, mode 0700, and reached through no symbolic link of its own name; any
 * other state of it is an error. In it a domain NAME has
 *
 *   NAME.sock         its control socket
 *   NAME.lock         locked (flock) as long as its process lives
 *   NAME@CONSOLE.pty  a link to a console's pty; NAME@CONSOLE.sock its socket
 *   @ID.lock          the claim on a domain id
 *
 * A lock goes with its process however that ends, so what is left behind can
 * be told from what is in use. "@" is in no domain's name.
 */
#ifndef RUNDIR_H
#define RUNDIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rundir {
	int fd; /* -1: none */
	char *path;
};

/*
 * create: makes it when it is not there. 0; -ENOENT without create; -errno with
 * a line in err. rundir_close is due in the first case only.
 */
int rundir_open(struct rundir *r, bool create, char *err, size_t err_len);
void rundir_close(struct rundir *r);
/* PATH/NAME + suffix, to be freed; NULL: no memory. */
char *rundir_file(const struct rundir *r, const char *name, const char *suffix);

struct claim {
	int dir, name_lock, id_lock; /* -1: none */
	uint32_t id;
	char name[64];
};

/*
 * Claims a name, and the lowest id that is free (1 and up). 0; -EBUSY: a domain
 * of that name runs; -errno. A line is in err.
 */
int claim_take(struct claim *c, const struct rundir *r, const char *name, char *err, size_t err_len);
/* Nothing when there is none (all -1). */
void claim_release(struct claim *c);

/*
 * Names with a control socket, sorted, in *names, each and the array to be
 * freed. Returns how many or -errno.
 */
int rundir_names(const struct rundir *r, char ***names);
void rundir_names_free(char **names, int n);

#endif
