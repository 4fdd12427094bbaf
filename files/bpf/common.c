/* Copyright (c) 2026, The exchange.chaos authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 */
/*
 * What every program shares: the head of a record, the channels to user space, the counts of what happened
 * and of what did not fit, who "current" is, and in which network namespace a socket or a process lives.
 *
 * Not a header: bcc rewrites map accesses in its main text only, so this text stands before the programs'.
 *
 * chaos_config.h is generated for the running kernel (plugins/module_utils/bpf/sources.py):
 *   HAS_<event>, HAS_<event>_<field>   what the kernel's tracepoint format files hold
 *   OFF_<structure>_<member>           byte offsets from the kernel's own BTF; absent where there is no BTF
 *   CHAOS_RINGBUF, CHAOS_PAGES, CHAOS_RARE_PAGES   transport: ring buffers (kernel 5.8) or one perf buffer per CPU
 *   CHAOS_PORT(port)                   the in-kernel filter
 *   CHAOS_HOST_NETNS                   a namespace whose sockets and processes are never ours (0: none)
 *   CHAOS_PIDNS                        our own PID namespace when it is not the initial one (a nested host)
 */

#include <chaos_config.h>

/* Kinds of records; plugins/module_utils/bpf/programs/ decode by these numbers, a unit test compares them. */
enum chaos_kind {
	CHAOS_CONN_ATTEMPT = 1,
	CHAOS_CONN_OK = 2,
	CHAOS_CONN_FAILED = 3,
	CHAOS_CONN_GAVE_UP = 4,
	CHAOS_CONN_RESET = 5,
	CHAOS_CONN_CLOSED = 6,
	CHAOS_TCP_RETRANSMIT = 7,
	CHAOS_PROC_EXIT = 16,
	CHAOS_OOM_KILL = 17,
};

struct chaos_head {
	u64 at;    /* CLOCK_MONOTONIC, ns */
	u16 kind;
	u16 flags; /* meaning belongs to the kind */
	u32 pid;   /* as user space sees it; 0: not known */
	u32 netns; /* inode of the network namespace; 0: not known */
	char comm[16];
	u32 reserved;
	u64 cgroup; /* key of chaos_cgroups: the container of the process; 0: not known */
};

#if CHAOS_RINGBUF
BPF_RINGBUF_OUTPUT(chaos_records, CHAOS_PAGES);
BPF_RINGBUF_OUTPUT(chaos_rare, CHAOS_RARE_PAGES);
#else
BPF_PERF_OUTPUT(chaos_records);
#endif
BPF_PERCPU_ARRAY(chaos_lost, u64, 1);

/* How often each thing happened, whatever becomes of its records: no full buffer and no bound hides a count. */
struct chaos_total_key {
	u64 owner; /* a cgroup, or a namespace with CHAOS_TOTAL_NETNS */
	u16 kind;
	u16 port; /* of a connection, the end the filter names; else 0 */
	s32 error;
};
#define CHAOS_TOTAL_NETNS (1ULL << 62)

struct chaos_total {
	u64 count;
	u64 first; /* CLOCK_MONOTONIC, ns */
	u64 last;
};
BPF_TABLE("lru_hash", struct chaos_total_key, struct chaos_total, chaos_totals, 2048);

static __always_inline void chaos_count(struct chaos_head *head, u16 port, s32 error)
{
	struct chaos_total_key key = {.owner = head->cgroup, .kind = head->kind, .port = port, .error = error};
	if (!key.owner)
		key.owner = CHAOS_TOTAL_NETNS | head->netns;
	struct chaos_total *total = chaos_totals.lookup(&key);
	if (total) {
		__sync_fetch_and_add(&total->count, 1);
		total->last = head->at;
		return;
	}
	struct chaos_total fresh = {.count = 1, .first = head->at, .last = head->at};
	chaos_totals.update(&key, &fresh);
}

static __always_inline void chaos_missed(long failed)
{
	int zero = 0;
	u64 *lost = failed ? chaos_lost.lookup(&zero) : 0;
	if (lost)
		*lost += 1;
}

/* Hand a record over. Nobody is woken: user space comes by every 50 ms, which costs the traced process least. */
static __always_inline void chaos_emit(void *ctx, void *record, u64 size)
{
#if CHAOS_RINGBUF
	chaos_missed(chaos_records.ringbuf_output(record, size, BPF_RB_NO_WAKEUP));
#else
	chaos_missed(chaos_records.perf_submit(ctx, record, size));
#endif
}

/* The same for what is rare and must not drown: the ends of processes. */
static __always_inline void chaos_emit_rare(void *ctx, void *record, u64 size)
{
#if CHAOS_RINGBUF
	chaos_missed(chaos_rare.ringbuf_output(record, size, BPF_RB_NO_WAKEUP));
#else
	chaos_missed(chaos_records.perf_submit(ctx, record, size));
#endif
}

#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 5, 0)
#define CHAOS_READ bpf_probe_read_kernel
#define CHAOS_READ_STR bpf_probe_read_kernel_str
#else
#define CHAOS_READ bpf_probe_read
#define CHAOS_READ_STR bpf_probe_read_str
#endif

/* The word at an offset of a kernel structure; 0 where it cannot be read. */
static __always_inline u64 chaos_pointer(u64 base, u64 offset)
{
	u64 value = 0;
	CHAOS_READ(&value, sizeof(value), (void *)(base + offset));
	return value;
}

static __always_inline u32 chaos_u32(u64 base, u64 offset)
{
	u32 value = 0;
	CHAOS_READ(&value, sizeof(value), (void *)(base + offset));
	return value;
}

#if defined(OFF_task_struct_cgroups) && defined(OFF_kernfs_node_name)
#define CHAOS_HAS_CGROUP 1
struct chaos_cgroup {
	char name[96]; /* as the engine named it, e.g. <id> or docker-<id>.scope; empty: no container's */
};
BPF_TABLE("lru_hash", u64, struct chaos_cgroup, chaos_cgroups, 4096);
#endif

/* The cgroup of the running task. Its name, which holds the container's id, is noted once in chaos_cgroups: so a
 * process is known by its container though it be gone before user space could look it up in /proc. */
static __always_inline u64 chaos_current_cgroup(void)
{
#ifdef CHAOS_HAS_CGROUP
	u64 set = chaos_pointer((u64)bpf_get_current_task(), OFF_task_struct_cgroups);
	u64 cgroup = chaos_pointer(set, OFF_css_set_cgroup);
#ifdef OFF_cgroup_subsys_state_cgroup
	cgroup = chaos_pointer(cgroup, OFF_cgroup_subsys_state_cgroup); /* v1: by way of one controller's state */
#endif
	u64 node = chaos_pointer(cgroup, OFF_cgroup_kn);
	u64 id = node ? chaos_pointer(node, OFF_kernfs_node_id) : 0;
	if (!id || chaos_cgroups.lookup(&id))
		return id;
	struct chaos_cgroup found = {};
#pragma unroll
	for (int i = 0; i < 4; i++) { /* a container may divide its own cgroup further */
		u64 name = chaos_pointer(node, OFF_kernfs_node_name);
		long length = CHAOS_READ_STR(&found.name, sizeof(found.name), (void *)name);
		if (length > 64)
			break;
		found.name[0] = 0;
		node = chaos_pointer(node, OFF_kernfs_node_parent);
		if (!node)
			break;
	}
	chaos_cgroups.update(&id, &found);
	return id;
#else
	return 0;
#endif
}

/* Network namespace of a socket, whoever happens to run on this CPU. */
static __always_inline u32 chaos_netns_of_sock(u64 sk)
{
#if defined(OFF_sock_common_skc_net) && defined(OFF_net_inum)
	return sk ? chaos_u32(chaos_pointer(sk, OFF_sock_common_skc_net), OFF_net_inum) : 0;
#else
	return 0;
#endif
}

/* Network namespace of the running task. */
static __always_inline u32 chaos_netns_of_current(void)
{
#if defined(OFF_task_struct_nsproxy) && defined(OFF_nsproxy_net_ns) && defined(OFF_net_inum)
	u64 nsproxy = chaos_pointer((u64)bpf_get_current_task(), OFF_task_struct_nsproxy);
	return nsproxy ? chaos_u32(chaos_pointer(nsproxy, OFF_nsproxy_net_ns), OFF_net_inum) : 0;
#else
	return 0;
#endif
}

static __always_inline int chaos_foreign(u32 netns)
{
	return CHAOS_HOST_NETNS && netns == CHAOS_HOST_NETNS;
}

/* PID (thread group) of the running task in the PID namespace of user space; 0: it has none there. */
static __always_inline u32 chaos_current_pid(void)
{
#if defined(CHAOS_PIDNS) && defined(OFF_task_struct_thread_pid) && defined(OFF_pid_numbers)
	u64 leader = chaos_pointer((u64)bpf_get_current_task(), OFF_task_struct_group_leader);
	u64 pid = chaos_pointer(leader, OFF_task_struct_thread_pid);
	u32 level = chaos_u32(pid, OFF_pid_level);
#pragma unroll
	for (u32 i = 0; i < 4; i++) {
		u64 number = pid + OFF_pid_numbers + i * SIZE_upid;
		if (i <= level && chaos_u32(chaos_pointer(number, OFF_upid_ns), OFF_pid_namespace_inum) == CHAOS_PIDNS)
			return chaos_u32(number, OFF_upid_nr);
	}
	return 0;
#else
	return bpf_get_current_pid_tgid() >> 32;
#endif
}
