/* Copyright (c) 2026, The exchange.chaos authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 */
/*
 * Histograms and counters, kept in the kernel: nothing goes to user space per event. Stands between common.c and
 * the programs that measure.
 *
 * User space raises chaos_epoch when a phase of the run begins (and every few seconds), reads the buckets of the
 * epochs before and deletes them, so none is read twice and no phase gets a part of another's.
 */

/* plugins/module_utils/bpf/programs/ name these; a unit test compares the numbers. */
enum chaos_series {
	CHAOS_RUN_QUEUE = 1,
	CHAOS_SWITCHES = 2,
	CHAOS_BLOCK_READ = 3,
	CHAOS_BLOCK_WRITE = 4,
	CHAOS_BLOCK_OTHER = 5,
	CHAOS_QUEUE_DEPTH = 6,
	CHAOS_FSYNC = 7,
	CHAOS_DIRECT_RECLAIM = 8,
	CHAOS_MEMCG_RECLAIM = 9,
	CHAOS_RTT = 10,
	CHAOS_BYTES_SENT = 11,
	CHAOS_BYTES_RECEIVED = 12,
};

/* Whose it is: the id of a cgroup (key of chaos_cgroups), or with one of these bits a process or a namespace. */
#define CHAOS_OWNER_PID (1ULL << 63)
#define CHAOS_OWNER_NETNS (1ULL << 62)

struct chaos_bucket_key {
	u64 owner; /* 0: nobody's */
	u32 epoch;
	u32 detail; /* meaning belongs to the series */
	u16 series;
	u16 slot; /* 0: below 1; n: from 2^(n-1), below 2^n */
	u32 reserved;
};

struct chaos_bucket {
	u64 count;
	u64 sum;
	u64 max;
};

BPF_HASH(chaos_buckets, struct chaos_bucket_key, struct chaos_bucket, 16384);
BPF_ARRAY(chaos_epoch, u32, 1);
/* What found no room in chaos_buckets. */
BPF_PERCPU_ARRAY(chaos_unkept, u64, 1);

static __always_inline void chaos_keep(u16 series, u64 owner, u32 detail, u16 slot, u64 value)
{
	int zero = 0;
	u32 *epoch = chaos_epoch.lookup(&zero);
	if (!epoch)
		return;
	struct chaos_bucket_key key = {.owner = owner, .epoch = *epoch, .detail = detail, .series = series};
	key.slot = slot;
	struct chaos_bucket *bucket = chaos_buckets.lookup(&key);
	if (!bucket) {
		struct chaos_bucket fresh = {};
		chaos_buckets.insert(&key, &fresh);
		bucket = chaos_buckets.lookup(&key);
	}
	if (bucket) {
		__sync_fetch_and_add(&bucket->count, 1);
		__sync_fetch_and_add(&bucket->sum, value);
		if (value > bucket->max)
			bucket->max = value;
		return;
	}
	u64 *unkept = chaos_unkept.lookup(&zero);
	if (unkept)
		*unkept += 1;
}

/* One more value of a histogram; scale: units of the sum in one unit of the buckets (1000: ns for µs). */
#define CHAOS_OBSERVE(series, owner, detail, value, scale) do { \
	u64 observed_ = (value); \
	u64 scaled_ = observed_ / (scale); \
	chaos_keep(series, owner, detail, scaled_ ? bpf_log2l(scaled_) : 0, observed_); \
} while (0)

#define CHAOS_COUNT(series, owner, detail, amount) chaos_keep(series, owner, detail, 0, amount)

/* The container the running task belongs to, 0 for none. Without BTF its process, which user space looks up. */
static __always_inline u64 chaos_task_owner(void)
{
#ifdef CHAOS_HAS_CGROUP
	u64 cgroup = chaos_current_cgroup();
	struct chaos_cgroup *found = cgroup ? chaos_cgroups.lookup(&cgroup) : 0;
	return found && found->name[0] ? cgroup : 0;
#else
	u32 pid = chaos_current_pid();
	return pid ? CHAOS_OWNER_PID | pid : 0;
#endif
}

/* The network namespace of a socket as an owner, 0 where it is not known or the host's. */
static __always_inline u64 chaos_sock_owner(u64 sk)
{
	u32 netns = chaos_netns_of_sock(sk);
	return netns && !chaos_foreign(netns) ? CHAOS_OWNER_NETNS | netns : 0;
}

#define CHAOS_CLIENT 0x10000
#define CHAOS_SERVER 0x20000

/* The port of the serving end and which end this is, 0 for ports that are not asked for. Where every port is, the
 * serving end is the one with the lower number. */
static __always_inline u32 chaos_path(u16 sport, u16 dport)
{
	int to = CHAOS_PORT(dport), from = CHAOS_PORT(sport);
	if (to && (!from || dport <= sport))
		return dport | CHAOS_CLIENT;
	return from ? sport | CHAOS_SERVER : 0;
}
