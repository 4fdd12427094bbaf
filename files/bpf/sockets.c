/* Copyright (c) 2026, The exchange.chaos authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 */
/*
 * What a socket tells of itself, for kernels whose tracepoints do not: stands after all programs, since two of them
 * (rtt, bytes) ask at the same point and a tracepoint has one probe.
 * Tracepoints: tcp:tcp_rcv_space_adjust, each time an application takes data; tcp:tcp_destroy_sock (both 4.16).
 */
#if defined(CHAOS_BYTES_BY_SOCKET) && HAS_tcp_rcv_space_adjust && defined(OFF_tcp_sock_bytes_received) && \
	defined(OFF_tcp_sock_bytes_acked)
#define CHAOS_COUNT_SOCKETS 1
struct chaos_counted {
	u64 received;
	u64 acked;
};

BPF_TABLE("lru_hash", u64, struct chaos_counted, chaos_counted_sockets, 32768);

/* Count what came since the last time. A connection's first time counts in full if the tcp program saw it begin;
 * of an older one nobody knows when its bytes were sent. */
static __always_inline void chaos_bytes_since(u64 sk, u32 path)
{
	struct chaos_counted now = {
		.received = chaos_pointer(sk, OFF_tcp_sock_bytes_received),
		.acked = chaos_pointer(sk, OFF_tcp_sock_bytes_acked),
	};
	struct chaos_counted before = now;
	struct chaos_counted *known = chaos_counted_sockets.lookup(&sk);
	if (known)
		before = *known;
#ifdef CHAOS_WITH_tcp
	else if (chaos_sockets.lookup(&sk))
		before.received = before.acked = 0;
#endif
	u64 owner = chaos_sock_owner(sk);
	if (owner && now.received > before.received)
		CHAOS_COUNT(CHAOS_BYTES_RECEIVED, owner, path, now.received - before.received);
	if (owner && now.acked > before.acked)
		CHAOS_COUNT(CHAOS_BYTES_SENT, owner, path, now.acked - before.acked);
	chaos_counted_sockets.update(&sk, &now);
}

#if HAS_tcp_destroy_sock
TRACEPOINT_PROBE(tcp, tcp_destroy_sock)
{
	u32 path = chaos_path(args->sport, args->dport);
	u64 sk = (u64)args->skaddr;
	if (path && chaos_counted_sockets.lookup(&sk))
		chaos_bytes_since(sk, path);
	chaos_counted_sockets.delete(&sk);
	return 0;
}
#endif
#endif

#if HAS_tcp_rcv_space_adjust && (defined(CHAOS_COUNT_SOCKETS) || defined(CHAOS_RTT_BY_SOCKET))
TRACEPOINT_PROBE(tcp, tcp_rcv_space_adjust)
{
	u32 path = chaos_path(args->sport, args->dport);
	u64 sk = (u64)args->skaddr;
	if (!path)
		return 0;
#ifdef CHAOS_COUNT_SOCKETS
	chaos_bytes_since(sk, path);
#endif
#if defined(CHAOS_RTT_BY_SOCKET) && defined(OFF_tcp_sock_srtt_us)
	u64 srtt = chaos_u32(sk, OFF_tcp_sock_srtt_us) >> 3; /* kept in eighths of a microsecond */
	u64 owner = srtt ? chaos_sock_owner(sk) : 0;
	if (owner)
		CHAOS_OBSERVE(CHAOS_RTT, owner, path, srtt * 1000, 1000);
#endif
	return 0;
}
#endif
