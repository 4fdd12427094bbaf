/* Copyright (c) 2026, The exchange.chaos authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 */
/*
 * How long fsync(2) and fdatasync(2) of the exchange's processes take; calls that failed are left out.
 * Tracepoints: syscalls:sys_enter_fsync, sys_exit_fsync, sys_enter_fdatasync, sys_exit_fdatasync.
 */
#define CHAOS_CALL_FSYNC 0
#define CHAOS_CALL_FDATASYNC 1

struct chaos_sync {
	u64 at;
	u64 owner;
};

/* Keyed by thread; a process that is killed meanwhile leaves its entry to the least recently used. */
BPF_TABLE("lru_hash", u64, struct chaos_sync, chaos_syncs, 8192);

static __always_inline void chaos_sync_begins(void)
{
	u64 thread = bpf_get_current_pid_tgid();
	struct chaos_sync sync = {.owner = chaos_task_owner(), .at = bpf_ktime_get_ns()};
	if (sync.owner)
		chaos_syncs.update(&thread, &sync);
}

static __always_inline void chaos_sync_ends(u32 call, long failed)
{
	u64 thread = bpf_get_current_pid_tgid();
	struct chaos_sync *sync = chaos_syncs.lookup(&thread);
	if (!sync)
		return;
	u64 took = bpf_ktime_get_ns() - sync->at, owner = sync->owner;
	chaos_syncs.delete(&thread);
	if (!failed)
		CHAOS_OBSERVE(CHAOS_FSYNC, owner, call, took, 1000);
}

TRACEPOINT_PROBE(syscalls, sys_enter_fsync)
{
	chaos_sync_begins();
	return 0;
}

TRACEPOINT_PROBE(syscalls, sys_exit_fsync)
{
	chaos_sync_ends(CHAOS_CALL_FSYNC, args->ret);
	return 0;
}

#if HAS_sys_enter_fdatasync && HAS_sys_exit_fdatasync
TRACEPOINT_PROBE(syscalls, sys_enter_fdatasync)
{
	chaos_sync_begins();
	return 0;
}

TRACEPOINT_PROBE(syscalls, sys_exit_fdatasync)
{
	chaos_sync_ends(CHAOS_CALL_FDATASYNC, args->ret);
	return 0;
}
#endif
