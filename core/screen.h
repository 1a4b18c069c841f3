/* SPDX-License-Identifier: MIT */
/*
 * A terminal as a screen that is drawn again and again, as top has it: its
 * alternate screen while it is open, what was there before when it is closed.
 * Keys come one by one, Ctrl-C and Ctrl-Z among them.
 */
#ifndef SCREEN_H
#define SCREEN_H

#include <stdbool.h>
#include <stddef.h>
#include <termios.h>

struct screen {
	int in, out;
	bool open;
	struct termios saved;
};

/* Whether both are terminals that can do it (TERM is not "dumb"). */
bool screen_possible(int in, int out);
/* 0 or -errno. */
int screen_open(struct screen *s, int in, int out);
/* Once or more. */
void screen_close(struct screen *s);
/*
 * Shows text in place of what was shown, cut to the window; lines end with
 * '\n'. 0; -errno: the terminal is gone.
 */
int screen_draw(const struct screen *s, const char *text);

/*
 * The bytes of the first `columns` columns of a line of UTF-8 with SGR
 * sequences ("\x1b[...m"), which take none. Every other byte below 0x20 takes
 * one. len is where the line ends.
 */
size_t screen_cut(const char *line, size_t len, unsigned columns);

#endif
