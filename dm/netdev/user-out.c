/* SPDX-License-Identifier: MIT */
/*
 * What the guest sends, made into what libslirp takes.
 *
 * libslirp verifies every checksum, so those that the guest left to be done
 * are done here. It takes a TCP packet of any size as it is: large ones that
 * were to be segmented are not, but for IPv6 beyond libslirp's own MTU, which
 * it refuses.
 *
 * In the other direction, libslirp cuts TCP by its own MTU, which is large; for
 * a connection that it opens to the guest, also by what the guest says of
 * segments (for others it forgets that). So what is said in a SYN is changed to
 * ten times of what fits a frame (u->netdev.info.mtu), and user-in.c cuts by
 * what was said, or hands the packet on with the cutting left to the guest. What
 * was said is kept by the guest's port: enough, as it is a matter of its
 * interface.
 *
 * The frame is copied once, then looked at: what it lies in may be the guest's.
 */
#include <netinet/in.h>
#include <string.h>

#include "dm/net/checksum.h"
#include "dm/net/segment.h"
#include "dm/netdev/user-internal.h"

/*
 * libslirp says that its window is open again once it has opened by two
 * segments: more than this and that would never be, with TCP's 64 KiB.
 */
#define BIG_SEGMENT 16384u

#define TCP_FLAGS    13u
#define TCP_CHECKSUM 16u
#define TCP_SYN      0x02u
#define TCP_ACK      0x10u
#define TCP_OPT_END  0u
#define TCP_OPT_NOP  1u
#define TCP_OPT_MSS  2u

uint32_t user_big_segment(uint32_t mtu)
{
	uint32_t size = mtu - USER_HEADERS4;

	return size < BIG_SEGMENT ? BIG_SEGMENT / size * size : size;
}

/* Whether the packet may make libslirp open a socket: all but TCP without a SYN of its own. */
static bool opens_socket(const uint8_t *frame, const struct netdev_packet *p)
{
	const uint8_t *transport = frame + p->transport;

	if (p->fragment)
		return true;
	if (p->protocol == IPPROTO_TCP)
		return (transport[TCP_FLAGS] & (TCP_SYN | TCP_ACK)) == TCP_SYN;
	/* To the DHCP and TFTP servers, which are libslirp's own. */
	if (p->protocol == IPPROTO_UDP)
		return transport[2] != 0 || (transport[3] != 67 && transport[3] != 69);
	return p->protocol == IPPROTO_ICMP;
}

/* ---- the size of segments ---- */

static void change16(uint8_t *frame, const struct netdev_packet *p, uint32_t at, uint16_t value, bool sum)
{
	uint8_t *checksum = frame + p->transport + TCP_CHECKSUM;
	uint16_t old = net_get16(frame + at), new = value;

	net_put16(frame + at, value);
	if (!sum)
		return;
	if ((at - p->transport) & 1) {
		old = (uint16_t)(old << 8 | old >> 8);
		new = (uint16_t)(new << 8 | new >> 8);
	}
	/* RFC 1624 */
	net_put16(checksum, (uint16_t)~net_sum_add(net_sum_add((uint16_t)~net_get16(checksum), (uint16_t)~old), new));
}

/* Where the SYN's maximum segment size is, or 0. */
static uint32_t find_mss(const uint8_t *frame, const struct netdev_packet *p)
{
	uint32_t at = p->transport + 20;

	while (at < p->payload && frame[at] != TCP_OPT_END) {
		uint32_t left = p->payload - at;

		if (frame[at] == TCP_OPT_NOP) {
			at++;
			continue;
		}
		if (left < 2 || frame[at + 1] < 2 || frame[at + 1] > left)
			return 0;
		if (frame[at] == TCP_OPT_MSS)
			return frame[at + 1] == 4 ? at + 2 : 0;
		at += frame[at + 1];
	}
	return 0;
}

static void raise_mss(struct user *u, uint8_t *frame, const struct netdev_packet *p, bool sum)
{
	uint32_t at = find_mss(frame, p), big = user_big_segment(u->netdev.info.mtu);
	uint16_t port = net_get16(frame + p->transport), mss = at ? net_get16(frame + at) : 0;

	/* Nobody's is less, and with next to nothing a few bytes would become very many frames. */
	if (mss && mss < USER_MSS_MIN)
		mss = USER_MSS_MIN;
	u->mss[port] = mss;
	u->small_mss = u->small_mss || (mss && mss < u->netdev.info.mtu - USER_HEADERS6);
	if (at && mss < big)
		change16(frame, p, at, (uint16_t)big, sum);
}

/* ---- what is left to do ---- */

static uint8_t *piece_room(void *opaque, uint32_t length)
{
	struct user *u = opaque;

	return length <= NETDEV_HEADER + u->slirp_mtu + 40 ? u->piece : NULL;
}

static void piece_put(void *opaque, uint32_t length)
{
	struct user *u = opaque;

	slirp_input(u->slirp, u->piece, (int)length);
}

static bool takes_offload(const struct netdev_frame *frame)
{
	switch (frame->offload.gso_type & ~NETDEV_GSO_ECN) {
	case NETDEV_GSO_NONE:
		return frame->length <= NETDEV_FRAME_MAX;
	case NETDEV_GSO_TCPV4:
	case NETDEV_GSO_TCPV6:
		return frame->length <= NETDEV_GSO_MAX;
	default:
		return false;
	}
}

static void input(struct user *u, const struct netdev_frame *frame, const struct netdev_packet *p)
{
	struct netdev_sink sink = {.room = piece_room, .put = piece_put, .opaque = u};

	if (frame->offload.flags & NETDEV_CSUM_NEEDED)
		netdev_checksum(u->out, frame->length, &frame->offload);
	if (frame->offload.gso_type && p->ipv6 && p->end - p->ip > u->slirp_mtu)
		netdev_packet_segment(u->out, p, user_big_segment(u->netdev.info.mtu), &sink);
	else
		slirp_input(u->slirp, u->out, (int)frame->length);
}

/*
 * Looks at the copied frame. False: it is none that libslirp shall see. That
 * believes IPv6 what it says of its length, for one.
 */
static bool look(struct user *u, uint8_t *copy, const struct netdev_frame *frame, struct netdev_packet *p)
{
	bool ip = netdev_packet_parse(copy, frame->length, p);
	bool tcp = ip && p->protocol == IPPROTO_TCP && !p->fragment, sum = frame->offload.flags & NETDEV_CSUM_NEEDED;
	uint16_t type = net_get16(copy + 12);

	if ((!ip && (type == 0x0800 || type == 0x86dd)) || (frame->offload.gso_type && !tcp) ||
	    (sum && !netdev_checksum_fits(&frame->offload, frame->length)))
		return false;
	if (tcp && copy[p->transport + TCP_FLAGS] & TCP_SYN)
		raise_mss(u, copy, p, !sum);
	return true;
}

/* Keeps what lies at u->out for the next one to be put behind it. */
static void hold(struct user *u, const struct netdev_frame *frame, const struct netdev_packet *p)
{
	u->held = *p;
	u->held_offload = frame->offload;
	u->held_length = frame->length;
	u->held_sum = frame->offload.flags & NETDEV_CSUM_NEEDED;
	u->holds = true;
	u->merged = false;
}

void user_send_flush(struct user *u)
{
	struct netdev_frame frame = {.length = u->held_length, .offload = u->held_offload};

	if (!u->holds)
		return;
	u->holds = false;
	if (u->merged) {
		netdev_packet_seal(u->out, &u->held);
		slirp_input(u->slirp, u->out, (int)u->held.end);
	} else {
		input(u, &frame, &u->held);
	}
}

void user_send_frame(struct user *u, const struct netdev_frame *frame)
{
	/* Behind what is held there is room for one of any size. */
	uint8_t *copy = u->out + (u->holds ? NETDEV_GSO_MAX : 0);
	struct netdev_packet p;

	if (!takes_offload(frame) || frame->length < NETDEV_HEADER || !netdev_gather(copy, frame) ||
	    !look(u, copy, frame, &p)) {
		user_count(u->unsupported);
		return;
	}
	if (!frame->offload.gso_type && user_merge(u, copy, &p, frame->offload.flags & NETDEV_CSUM_NEEDED))
		return;
	user_send_flush(u);
	if (copy != u->out)
		memcpy(u->out, copy, frame->length);
	if (u->open >= u->limit && opens_socket(u->out, &p))
		user_count(u->refused);
	else if (!frame->offload.gso_type && user_may_hold(u->out, &p))
		hold(u, frame, &p);
	else
		input(u, frame, &p);
}
