/* Copyright (c) 2026, The exchange.chaos authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 */
/*
 * Ends of processes (not of single threads), with the signal that ended them and who sent a SIGKILL.
 * Tracepoints: sched:sched_process_exit, signal:signal_generate.
 */
#define CHAOS_SIGKILL 9
#define CHAOS_SIGNAL_IGNORED 1 /* signal_generate's result, include/trace/events/signal.h */

/* chaos_head.flags of PROC_EXIT records */
#define CHAOS_STATUS_KNOWN 1
#define CHAOS_INNER_KNOWN 2 /* whether it was its container's first process: */
#define CHAOS_FIRST 4

struct chaos_exit {
	struct chaos_head head;
	u32 signal; /* that ended it; 0: none, or not known */
	u32 status; /* exit status, with CHAOS_STATUS_KNOWN */
	u32 by_pid; /* who sent the SIGKILL; 0: not known */
	u32 reserved;
	char by_comm[16];
};

struct chaos_killer {
	u32 pid;
	u32 reserved;
	char comm[16];
};

/* Keyed by the victim's PID in the initial namespace, as the tracepoint tells it. */
BPF_TABLE("lru_hash", u32, struct chaos_killer, chaos_killers, 1024);

#if HAS_signal_generate
TRACEPOINT_PROBE(signal, signal_generate)
{
	if (args->sig != CHAOS_SIGKILL || args->result == CHAOS_SIGNAL_IGNORED)
		return 0;
	u32 victim = args->pid;
	struct chaos_killer killer = {};
	killer.pid = chaos_current_pid();
	bpf_get_current_comm(&killer.comm, sizeof(killer.comm));
	chaos_killers.update(&victim, &killer);
	return 0;
}
#endif

TRACEPOINT_PROBE(sched, sched_process_exit)
{
	u64 ids = bpf_get_current_pid_tgid();
	u32 pid = ids >> 32;
	if (pid != (u32)ids)
		return 0; /* a thread, not the process */
	struct chaos_exit record = {};
	record.head.netns = chaos_netns_of_current();
	if (chaos_foreign(record.head.netns))
		return 0;
	record.head.at = bpf_ktime_get_ns();
	record.head.kind = CHAOS_PROC_EXIT;
	record.head.pid = chaos_current_pid();
	record.head.cgroup = chaos_current_cgroup();
	bpf_get_current_comm(&record.head.comm, sizeof(record.head.comm));
#ifdef OFF_task_struct_exit_code
	u32 code = chaos_u32((u64)bpf_get_current_task(), OFF_task_struct_exit_code);
	record.head.flags |= CHAOS_STATUS_KNOWN;
	record.signal = code & 0x7f; /* wait(2) */
	record.status = code >> 8 & 0xff;
#endif
#ifdef OFF_pid_numbers
	u64 inner = chaos_pointer((u64)bpf_get_current_task(), OFF_task_struct_thread_pid);
	u32 level = chaos_u32(inner, OFF_pid_level);
	record.head.flags |= CHAOS_INNER_KNOWN;
	if (level && chaos_u32(inner + OFF_pid_numbers + level * SIZE_upid, OFF_upid_nr) == 1)
		record.head.flags |= CHAOS_FIRST;
#endif
#if defined(OFF_task_struct_exit_code) && defined(OFF_pid_numbers)
	/* A helper that ended in order (a health check, a worker that was done) is no event. */
	if (!code && !(record.head.flags & CHAOS_FIRST))
		return 0;
#endif
	struct chaos_killer *killer = chaos_killers.lookup(&pid);
	if (killer) {
		record.signal = CHAOS_SIGKILL;
		record.by_pid = killer->pid;
		__builtin_memcpy(record.by_comm, killer->comm, sizeof(killer->comm));
		chaos_killers.delete(&pid);
	}
	chaos_count(&record.head, 0, 0);
	chaos_emit_rare(args, &record, sizeof(record));
	return 0;
}
