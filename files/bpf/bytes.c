/* Copyright (c) 2026, The exchange.chaos authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 */
/*
 * Bytes the exchange's processes send and receive, by the port of the serving end.
 * Tracepoints: sock:sock_send_length, sock:sock_recv_length (6.3): each call, with its process. Else what a socket
 * has counted itself (BTF), read each time an application takes data and when the connection ends (sockets.c).
 */
#define CHAOS_TCP 6
#define CHAOS_PEEK 2 /* MSG_PEEK: the same bytes come again */

#if HAS_sock_send_length && HAS_sock_recv_length && defined(OFF_sock_common_skc_dport) && \
	defined(OFF_sock_common_skc_num)
static __always_inline void chaos_bytes(u16 series, u64 sk, int length)
{
	u8 remote[2] = {}; /* in network byte order */
	u16 local = 0;
	CHAOS_READ(remote, sizeof(remote), (void *)(sk + OFF_sock_common_skc_dport));
	CHAOS_READ(&local, sizeof(local), (void *)(sk + OFF_sock_common_skc_num));
	u32 path = chaos_path(local, remote[0] << 8 | remote[1]);
	u64 owner = path ? chaos_task_owner() : 0;
	if (owner)
		CHAOS_COUNT(series, owner, path, length);
}

TRACEPOINT_PROBE(sock, sock_send_length)
{
	if (args->protocol == CHAOS_TCP && (args->family == 2 || args->family == 10) && args->ret > 0)
		chaos_bytes(CHAOS_BYTES_SENT, (u64)args->sk, args->ret);
	return 0;
}

TRACEPOINT_PROBE(sock, sock_recv_length)
{
	if (args->protocol == CHAOS_TCP && (args->family == 2 || args->family == 10) && args->ret > 0 &&
	    !(args->flags & CHAOS_PEEK))
		chaos_bytes(CHAOS_BYTES_RECEIVED, (u64)args->sk, args->ret);
	return 0;
}
#else
#define CHAOS_BYTES_BY_SOCKET 1 /* in sockets.c */
#endif
