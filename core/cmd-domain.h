/* SPDX-License-Identifier: MIT */
/* What the commands about a running domain share. */
#ifndef CMD_DOMAIN_H
#define CMD_DOMAIN_H

#include "control/client.h"

#define CMD_ANSWER_MS 60000 /* for what takes a moment */

/*
 * Connects to a domain by name, or by id where none has such a name. `what` is
 * the command, for messages. 0; else the exit code, and the user was told.
 */
int cmd_domain_open(struct control_client *c, const char *what, const char *name);
/*
 * Calls a method; takes the reference to params. The result is a new
 * reference; NULL: the user was told.
 */
json_t *cmd_domain_call(struct control_client *c, const char *what, const char *name, const char *method,
                        json_t *params);
/* "DOMAIN" of a command that takes nothing else. 0; else the exit code. */
int cmd_domain_name(int argc, char **argv, const char **name);

#endif
