/* Copyright (c) 2026, The exchange.chaos authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 */
/*
 * TCP connections as the kernel sees them, IPv4 and IPv6 (IPv4 comes as ::ffff:a.b.c.d in the _v6 fields).
 *
 * A socket is remembered by its address in the kernel from the moment its process calls connect(2): what
 * becomes of it (answer, refusal, time-out) is decided in interrupt context, where "current" is somebody else.
 * Tracepoints: sock:inet_sock_set_state (4.16), tcp:tcp_receive_reset, tcp:tcp_send_reset,
 * tcp:tcp_retransmit_skb; sock:inet_sk_error_report (5.15) only where BTF does not show sk_err itself.
 */
#define CHAOS_TCP_ESTABLISHED 1
#define CHAOS_TCP_SYN_SENT 2
#define CHAOS_TCP_SYN_RECV 3
#define CHAOS_TCP_CLOSE 7
#define CHAOS_TCP_CLOSE_WAIT 8
#define CHAOS_TCP_CLOSING 11
#define CHAOS_IPPROTO_TCP 6
#define CHAOS_UNKNOWN -1 /* failed, and nobody told with which errno */
#define CHAOS_ECONNRESET 104
#define CHAOS_ECONNREFUSED 111

/* chaos_head.flags of TCP records */
#define CHAOS_KNOWN 1   /* seen since its connect or accept */
#define CHAOS_PASSIVE 2 /* accepted, not connected */
#define CHAOS_SENT 4    /* a reset we sent; without it: received */

struct chaos_tcp {
	struct chaos_head head;
	u64 duration; /* ns since SYN (ok, failed, gave up) or since established (closed); 0: not known */
	s32 error;
	u16 lport;    /* host byte order; 0 at the attempt: the kernel has not chosen it yet */
	u16 rport;
	u8 laddr[16];
	u8 raddr[16];
};

struct chaos_socket {
	u64 syn_at;
	u64 up_at; /* 0: not established yet */
	u64 cgroup;
	u32 pid;
	u32 netns;
	u32 error;
	u32 flags;
	char comm[16];
};

/* Least recently used goes first when there are more live sockets than this; then its owner is unknown. */
BPF_TABLE("lru_hash", u64, struct chaos_socket, chaos_sockets, 32768);

/* By helper, not by assignment: the verifier refuses a load through a tracepoint context that was moved. */
#define CHAOS_ADDRESSES(record, args) do { \
	(record).lport = (args)->sport; \
	(record).rport = (args)->dport; \
	CHAOS_READ((record).laddr, 16, (args)->saddr_v6); \
	CHAOS_READ((record).raddr, 16, (args)->daddr_v6); \
} while (0)

/* Who owns the socket: what we remember, else only its namespace. False: not ours, drop the event. */
static __always_inline int chaos_owner(struct chaos_tcp *record, struct chaos_socket *socket, u64 sk)
{
	record->head.at = bpf_ktime_get_ns();
	if (socket) {
		record->head.pid = socket->pid;
		record->head.netns = socket->netns;
		record->head.cgroup = socket->cgroup;
		record->head.flags = CHAOS_KNOWN | socket->flags;
		__builtin_memcpy(record->head.comm, socket->comm, sizeof(socket->comm));
		return 1;
	}
	record->head.netns = chaos_netns_of_sock(sk);
	return record->head.netns && !chaos_foreign(record->head.netns);
}

#if HAS_inet_sk_error_report && !defined(OFF_sock_sk_err)
#define CHAOS_ERROR_REPORT 1
struct chaos_flow {
	u16 lport;
	u16 rport;
	u8 laddr[16];
	u8 raddr[16];
};
BPF_TABLE("lru_hash", struct chaos_flow, u32, chaos_errors, 4096);

TRACEPOINT_PROBE(sock, inet_sk_error_report)
{
	if (args->protocol != CHAOS_IPPROTO_TCP || !(CHAOS_PORT(args->dport) || CHAOS_PORT(args->sport)))
		return 0;
	struct chaos_flow flow = {};
	u32 error = args->error;
	CHAOS_ADDRESSES(flow, args);
	if (error)
		chaos_errors.update(&flow, &error);
	return 0;
}
#endif

/* The errno a socket ended with; 0: the application closed it itself; CHAOS_UNKNOWN. */
static __always_inline s32 chaos_error(struct chaos_tcp *record, struct chaos_socket *socket, u64 sk)
{
#ifdef OFF_sock_sk_err
	u32 error = chaos_u32(sk, OFF_sock_sk_err);
	return error ? error : socket ? socket->error : 0;
#else
	if (socket && socket->error)
		return socket->error;
#ifdef CHAOS_ERROR_REPORT
	struct chaos_flow flow = {.lport = record->lport, .rport = record->rport};
	__builtin_memcpy(flow.laddr, record->laddr, 16);
	__builtin_memcpy(flow.raddr, record->raddr, 16);
	u32 *reported = chaos_errors.lookup(&flow);
	if (reported) {
		u32 error = *reported;
		chaos_errors.delete(&flow);
		return error;
	}
#endif
	/* Nobody told: a close by the owner is its own decision, a close by anyone else is the kernel's. */
	if (socket && !socket->up_at && chaos_current_pid() != socket->pid)
		return CHAOS_UNKNOWN;
	return 0;
#endif
}

TRACEPOINT_PROBE(sock, inet_sock_set_state)
{
	if (args->protocol != CHAOS_IPPROTO_TCP || !(CHAOS_PORT(args->dport) || CHAOS_PORT(args->sport)))
		return 0;
	u64 sk = (u64)args->skaddr;
	int new = args->newstate, old = args->oldstate;
	struct chaos_tcp record = {};

	if (new == CHAOS_TCP_SYN_SENT) {
		struct chaos_socket fresh = {};
		fresh.netns = chaos_netns_of_sock(sk);
		if (chaos_foreign(fresh.netns))
			return 0;
		fresh.syn_at = bpf_ktime_get_ns();
		fresh.pid = chaos_current_pid();
		fresh.cgroup = chaos_current_cgroup();
		bpf_get_current_comm(&fresh.comm, sizeof(fresh.comm));
		chaos_sockets.update(&sk, &fresh);
		chaos_owner(&record, &fresh, sk);
		record.head.kind = CHAOS_CONN_ATTEMPT;
	} else if (new == CHAOS_TCP_ESTABLISHED && old == CHAOS_TCP_SYN_SENT) {
		struct chaos_socket *socket = chaos_sockets.lookup(&sk);
		if (!chaos_owner(&record, socket, sk))
			return 0;
		if (socket) {
			record.duration = record.head.at - socket->syn_at;
			socket->up_at = record.head.at;
		}
		record.head.kind = CHAOS_CONN_OK;
	} else if (new == CHAOS_TCP_ESTABLISHED && old == CHAOS_TCP_SYN_RECV) {
		struct chaos_socket accepted = {};
		accepted.netns = chaos_netns_of_sock(sk);
		if (!accepted.netns || chaos_foreign(accepted.netns))
			return 0;
		accepted.up_at = bpf_ktime_get_ns();
		accepted.flags = CHAOS_PASSIVE;
		chaos_sockets.update(&sk, &accepted);
		return 0;
	} else if (new == CHAOS_TCP_CLOSE) {
		struct chaos_socket *socket = chaos_sockets.lookup(&sk);
		if (!chaos_owner(&record, socket, sk))
			return 0;
		CHAOS_ADDRESSES(record, args);
		record.error = chaos_error(&record, socket, sk);
		if (old == CHAOS_TCP_SYN_SENT)
			record.head.kind = record.error ? CHAOS_CONN_FAILED : CHAOS_CONN_GAVE_UP;
		else
			record.head.kind = CHAOS_CONN_CLOSED;
		if (socket) {
			u64 since = socket->up_at ? socket->up_at : socket->syn_at;
			record.duration = since ? record.head.at - since : 0;
			chaos_sockets.delete(&sk);
			if (record.head.flags & CHAOS_PASSIVE)
				return 0;
		} else if (old != CHAOS_TCP_SYN_SENT && !CHAOS_PORT(args->dport)) {
			return 0; /* older than the capture: the serving side, or a listener that goes */
		}
	} else {
		return 0;
	}
	CHAOS_ADDRESSES(record, args);
	chaos_count(&record.head, CHAOS_PORT(record.rport) ? record.rport : record.lport, record.error);
	chaos_emit(args, &record, sizeof(record));
	return 0;
}

#if HAS_tcp_receive_reset
TRACEPOINT_PROBE(tcp, tcp_receive_reset)
{
	if (!(CHAOS_PORT(args->dport) || CHAOS_PORT(args->sport)))
		return 0;
	u64 sk = (u64)args->skaddr;
	struct chaos_socket *socket = chaos_sockets.lookup(&sk);
	if (socket && !socket->up_at) { /* the answer to a SYN: reported as CONN_FAILED when the socket closes */
		socket->error = CHAOS_ECONNREFUSED;
		return 0;
	}
	struct chaos_tcp record = {};
	if (!chaos_owner(&record, socket, sk))
		return 0;
	if (socket)
		socket->error = CHAOS_ECONNRESET;
	record.head.kind = CHAOS_CONN_RESET;
	record.error = CHAOS_ECONNRESET;
	CHAOS_ADDRESSES(record, args);
	chaos_count(&record.head, CHAOS_PORT(record.rport) ? record.rport : record.lport, record.error);
	chaos_emit(args, &record, sizeof(record));
	return 0;
}
#endif

#if HAS_tcp_send_reset
/* An address the kernel hands over as struct sockaddr_in or sockaddr_in6 (ip(7), ipv6(7)). */
static __always_inline u16 chaos_sockaddr(const u8 *sockaddr, u8 *address)
{
	if (sockaddr[0] == 10 || sockaddr[1] == 10) {
		__builtin_memcpy(address, sockaddr + 8, 16);
	} else {
		address[10] = address[11] = 0xff;
		__builtin_memcpy(address + 12, sockaddr + 4, 4);
	}
	return (u16)sockaddr[2] << 8 | sockaddr[3];
}

TRACEPOINT_PROBE(tcp, tcp_send_reset)
{
	u64 sk = (u64)args->skaddr;
	int state = args->state;
	/* Without a socket it is the refusal of a closed port, which the other side reports. Of the rest only
	 * those that end a conversation: established to close wait, last ack, closing, or just being closed. */
	if (!sk || state == CHAOS_TCP_SYN_SENT || state == CHAOS_TCP_SYN_RECV || state == 6 || state == 10 ||
	    state > CHAOS_TCP_CLOSING)
		return 0;
	struct chaos_tcp record = {};
#if HAS_tcp_send_reset_sport
	CHAOS_ADDRESSES(record, args);
#else
	u8 local[28] = {}, remote[28] = {};
	CHAOS_READ(local, 28, args->saddr);
	CHAOS_READ(remote, 28, args->daddr);
	record.lport = chaos_sockaddr(local, record.laddr);
	record.rport = chaos_sockaddr(remote, record.raddr);
#endif
	if (!(CHAOS_PORT(record.lport) || CHAOS_PORT(record.rport)))
		return 0;
	struct chaos_socket *socket = chaos_sockets.lookup(&sk);
	if (!chaos_owner(&record, socket, sk))
		return 0;
	record.head.kind = CHAOS_CONN_RESET;
	record.head.flags |= CHAOS_SENT;
	record.error = CHAOS_ECONNRESET;
	chaos_count(&record.head, CHAOS_PORT(record.rport) ? record.rport : record.lport, record.error);
	chaos_emit(args, &record, sizeof(record));
	return 0;
}
#endif

#if HAS_tcp_retransmit_skb
TRACEPOINT_PROBE(tcp, tcp_retransmit_skb)
{
	if (!(CHAOS_PORT(args->dport) || CHAOS_PORT(args->sport)))
		return 0;
	u64 sk = (u64)args->skaddr;
	struct chaos_tcp record = {};
	struct chaos_socket *socket = chaos_sockets.lookup(&sk);
	if (!chaos_owner(&record, socket, sk))
		return 0;
	record.head.kind = CHAOS_TCP_RETRANSMIT;
	CHAOS_ADDRESSES(record, args);
	if (socket) /* age of the attempt or of the connection: shows the growing interval per flow */
		record.duration = record.head.at - (socket->up_at ? socket->up_at : socket->syn_at);
	chaos_count(&record.head, CHAOS_PORT(record.rport) ? record.rport : record.lport, record.error);
	chaos_emit(args, &record, sizeof(record));
	return 0;
}
#endif
