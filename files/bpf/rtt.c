/* Copyright (c) 2026, The exchange.chaos authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 */
/*
 * The round trip time the kernel has smoothed for a connection, each time a segment arrives.
 * Tracepoint: tcp:tcp_probe where it tells the socket (6.10). Else tcp:tcp_rcv_space_adjust, each time an application
 * takes data, with the time read from the socket by the kernel's BTF (sockets.c).
 */
#if HAS_tcp_probe_skaddr
TRACEPOINT_PROBE(tcp, tcp_probe)
{
	u32 path = chaos_path(args->sport, args->dport);
	u64 srtt = args->srtt;
	u64 owner = path && srtt ? chaos_sock_owner((u64)args->skaddr) : 0;
	if (owner)
		CHAOS_OBSERVE(CHAOS_RTT, owner, path, srtt * 1000, 1000);
	return 0;
}
#else
#define CHAOS_RTT_BY_SOCKET 1 /* in sockets.c */
#endif
