/* Copyright (c) 2026, The exchange.chaos authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 */
/*
 * How long the exchange's threads wait for a processor once they could run, and how often they leave one.
 * Tracepoints: sched:sched_wakeup, sched:sched_wakeup_new, sched:sched_switch.
 *
 * A thread is known from the first time it left a processor (or was born) in a container: the tracepoints tell the
 * next thread by its number alone.
 */
#define CHAOS_ASLEEP 0xff   /* the states a thread leaves a processor in by its own will */
#define CHAOS_DEAD 0x30
#define CHAOS_VOLUNTARY 0
#define CHAOS_INVOLUNTARY 1 /* preempted, throttled, or it yielded */

struct chaos_thread {
	u64 owner;
	u64 queued_at; /* 0: it runs or sleeps */
};

/* Keyed by the thread's number in the initial namespace. */
BPF_TABLE("lru_hash", u32, struct chaos_thread, chaos_threads, 32768);

TRACEPOINT_PROBE(sched, sched_wakeup)
{
	u32 tid = args->pid;
	struct chaos_thread *thread = chaos_threads.lookup(&tid);
	if (thread)
		thread->queued_at = bpf_ktime_get_ns();
	return 0;
}

#if HAS_sched_wakeup_new
TRACEPOINT_PROBE(sched, sched_wakeup_new)
{
	u32 tid = args->pid;
	struct chaos_thread born = {.owner = chaos_task_owner(), .queued_at = bpf_ktime_get_ns()};
	if (born.owner) /* its parent's, which runs this */
		chaos_threads.update(&tid, &born);
	else
		chaos_threads.delete(&tid);
	return 0;
}
#endif

TRACEPOINT_PROBE(sched, sched_switch)
{
	u64 now = bpf_ktime_get_ns();
	u32 next = args->next_pid, prev = args->prev_pid;
	u64 state = args->prev_state;
	struct chaos_thread *thread = next ? chaos_threads.lookup(&next) : 0;
	if (thread && thread->queued_at) {
		u64 waited = now - thread->queued_at;
		thread->queued_at = 0;
		CHAOS_OBSERVE(CHAOS_RUN_QUEUE, thread->owner, 0, waited, 1000);
	}
	u64 owner = prev ? chaos_task_owner() : 0;
	if (!owner)
		return 0;
	int sleeps = (state & CHAOS_ASLEEP) != 0;
	CHAOS_COUNT(CHAOS_SWITCHES, owner, sleeps ? CHAOS_VOLUNTARY : CHAOS_INVOLUNTARY, 1);
	if (state & CHAOS_DEAD) {
		chaos_threads.delete(&prev);
		return 0;
	}
	struct chaos_thread left = {.owner = owner, .queued_at = sleeps ? 0 : now};
	chaos_threads.update(&prev, &left);
	return 0;
}
