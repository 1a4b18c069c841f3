/* SPDX-License-Identifier: MIT */
/*
 * Any bytes at a domain's control socket, in pieces, by a client that reads or
 * does not; a good client beside it has its answer all the same. The first byte
 * says how: bit 0 reads meanwhile, bit 1 closes its sending half at the end, the
 * others how long the pieces are.
 */
#include <errno.h>
#include <signal.h>

#include "fake/control-rig.h"
#include "fuzz.h"

static void drain(int fd)
{
	char buf[65536];

	while (recv(fd, buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
}

static void send_pieces(struct control_rig *rig, int fd, const uint8_t *data, size_t size, uint8_t how)
{
	size_t piece = (size_t)(how >> 2) * (how >> 2) + 1;

	for (size_t at = 0; at < size; at += piece) {
		size_t n = size - at < piece ? size - at : piece;

		if (send(fd, data + at, n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
			return;
		control_rig_turn(rig, 1);
		if (how & 1)
			drain(fd);
	}
}

static void ask(struct control_rig *rig, int fd)
{
	static const char request[] = "{\"id\":77,\"method\":\"summary\"}\n";
	char buf[8192];
	size_t used = 0;

	if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) < 0)
		abort();
	for (int i = 0; i < 100; i++) {
		ssize_t n;

		control_rig_turn(rig, 1);
		n = recv(fd, buf + used, sizeof(buf) - 1 - used, MSG_DONTWAIT);
		used += n > 0 ? (size_t)n : 0;
		buf[used] = 0;
		if (strstr(buf, "{\"id\":77,\"result\""))
			return;
	}
	abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct control_rig rig;
	int bad, good;

	if (!size)
		return 0;
	signal(SIGPIPE, SIG_IGN);
	if (control_rig_init(&rig))
		abort();
	bad = control_rig_connect(&rig);
	good = control_rig_connect(&rig);
	control_rig_turn(&rig, 2);
	send_pieces(&rig, bad, data + 1, size - 1, data[0]);
	if (data[0] & 2)
		shutdown(bad, SHUT_WR);
	console_write(rig.console[0], "the guest says something\n", 25);
	control_rig_turn(&rig, 2);
	ask(&rig, good);
	control_finish(rig.control, "the guest powered off", "");
	close(bad);
	close(good);
	control_rig_finish(&rig);
	return 0;
}
