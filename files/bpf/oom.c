/* Copyright (c) 2026, The exchange.chaos authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 */
/*
 * Memory: the victims of the OOM killer, and how long the exchange's threads stand still to reclaim pages.
 * Tracepoints: oom:mark_victim (sizes since 6.8); vmscan:mm_vmscan_direct_reclaim_begin and _end (the host is
 * short), vmscan:mm_vmscan_memcg_reclaim_begin and _end (a cgroup is at its limit).
 */

/* chaos_head.flags of OOM_KILL records */
#define CHAOS_SIZES_KNOWN 1
#define CHAOS_BY_ITSELF 2 /* the victim was the one that asked for memory */

struct chaos_oom {
	struct chaos_head head;
	u64 total_kb;
	u64 anon_kb;
	u64 file_kb;
	u64 shmem_kb;
	s32 score_adj;
	u32 by_pid; /* who asked for memory */
	char by_comm[16];
};

TRACEPOINT_PROBE(oom, mark_victim)
{
	struct chaos_oom record = {};
	u64 ids = bpf_get_current_pid_tgid();
	u32 victim = args->pid;
	record.head.at = bpf_ktime_get_ns();
	record.head.kind = CHAOS_OOM_KILL;
	record.by_pid = chaos_current_pid();
	bpf_get_current_comm(&record.by_comm, sizeof(record.by_comm));
	if (victim == (u32)ids || victim == (u32)(ids >> 32)) {
		record.head.flags |= CHAOS_BY_ITSELF;
		record.head.pid = record.by_pid;
		record.head.cgroup = chaos_current_cgroup();
		__builtin_memcpy(record.head.comm, record.by_comm, sizeof(record.by_comm));
	} else {
		/* Who asked is in the same container, or above it: that stands in where the victim cannot be looked up,
		 * being gone already, or numbered in another namespace than ours. */
		record.head.cgroup = chaos_current_cgroup();
#ifndef CHAOS_PIDNS
		record.head.pid = victim;
#endif
	}
#if HAS_mark_victim_anon_rss
	record.head.flags |= CHAOS_SIZES_KNOWN;
	record.total_kb = args->total_vm;
	record.anon_kb = args->anon_rss;
	record.file_kb = args->file_rss;
	record.shmem_kb = args->shmem_rss;
#endif
#if HAS_mark_victim_oom_score_adj
	record.score_adj = args->oom_score_adj;
#endif
#if HAS_mark_victim_comm
	CHAOS_READ_STR(&record.head.comm, sizeof(record.head.comm), (char *)args + (args->data_loc_comm & 0xffff));
#endif
	chaos_count(&record.head, 0, 0);
	chaos_emit_rare(args, &record, sizeof(record));
	return 0;
}

struct chaos_stall {
	u64 at;
	u64 owner;
};

BPF_TABLE("lru_hash", u64, struct chaos_stall, chaos_stalls, 8192);

static __always_inline void chaos_stall_begins(void)
{
	u64 thread = bpf_get_current_pid_tgid();
	struct chaos_stall stall = {.owner = chaos_task_owner(), .at = bpf_ktime_get_ns()};
	if (stall.owner)
		chaos_stalls.update(&thread, &stall);
}

static __always_inline void chaos_stall_ends(u16 series)
{
	u64 thread = bpf_get_current_pid_tgid();
	struct chaos_stall *stall = chaos_stalls.lookup(&thread);
	if (!stall)
		return;
	u64 took = bpf_ktime_get_ns() - stall->at, owner = stall->owner;
	chaos_stalls.delete(&thread);
	CHAOS_OBSERVE(series, owner, 0, took, 1000);
}

#if HAS_mm_vmscan_direct_reclaim_begin && HAS_mm_vmscan_direct_reclaim_end
TRACEPOINT_PROBE(vmscan, mm_vmscan_direct_reclaim_begin)
{
	chaos_stall_begins();
	return 0;
}

TRACEPOINT_PROBE(vmscan, mm_vmscan_direct_reclaim_end)
{
	chaos_stall_ends(CHAOS_DIRECT_RECLAIM);
	return 0;
}
#endif

#if HAS_mm_vmscan_memcg_reclaim_begin && HAS_mm_vmscan_memcg_reclaim_end
TRACEPOINT_PROBE(vmscan, mm_vmscan_memcg_reclaim_begin)
{
	chaos_stall_begins();
	return 0;
}

TRACEPOINT_PROBE(vmscan, mm_vmscan_memcg_reclaim_end)
{
	chaos_stall_ends(CHAOS_MEMCG_RECLAIM);
	return 0;
}
#endif
