/* Copyright (c) 2026, The exchange.chaos authors
 * GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
 * SPDX-License-Identifier: GPL-3.0-or-later
 */
/*
 * Block devices: how long a request takes from its issue to its completion, and how many are under way at an issue.
 * Tracepoints: block:block_rq_issue, block:block_rq_complete.
 *
 * Who issues is often a kernel thread (write-back, a journal): then it is nobody's. What a cgroup's limit holds back
 * waits before the issue and is not seen here but in the fsync program.
 */
struct chaos_request_key {
	u64 sector;
	u32 dev;
	u32 reserved;
};

struct chaos_request {
	u64 at;
	u64 owner;
	u32 series;
	u32 reserved;
};

BPF_HASH(chaos_requests, struct chaos_request_key, struct chaos_request, 16384);
BPF_HASH(chaos_in_flight, u32, u64, 1024);

TRACEPOINT_PROBE(block, block_rq_issue)
{
	if (!args->nr_sector)
		return 0; /* a flush: carries no data, and nothing to know it by */
	struct chaos_request_key key = {.sector = args->sector, .dev = args->dev};
	u32 dev = args->dev;
	char op[4] = {};
	CHAOS_READ(op, sizeof(op), args->rwbs);
	char first = op[0] == 'F' ? op[1] : op[0]; /* FW: a write that flushes first */
	struct chaos_request request = {.at = bpf_ktime_get_ns(), .owner = chaos_task_owner()};
	request.series = first == 'R' ? CHAOS_BLOCK_READ : first == 'W' ? CHAOS_BLOCK_WRITE : CHAOS_BLOCK_OTHER;
	struct chaos_request *again = chaos_requests.lookup(&key);
	if (again) { /* put back by the driver, and issued once more */
		again->at = request.at;
		return 0;
	}
	if (chaos_requests.insert(&key, &request))
		return 0;
	u64 zero = 0;
	u64 *in_flight = chaos_in_flight.lookup(&dev);
	if (!in_flight) {
		chaos_in_flight.insert(&dev, &zero);
		in_flight = chaos_in_flight.lookup(&dev);
	}
	if (in_flight) {
		__sync_fetch_and_add(in_flight, 1);
		CHAOS_OBSERVE(CHAOS_QUEUE_DEPTH, 0, dev, *in_flight, 1);
	}
	return 0;
}

TRACEPOINT_PROBE(block, block_rq_complete)
{
	struct chaos_request_key key = {.sector = args->sector, .dev = args->dev};
	struct chaos_request *request = chaos_requests.lookup(&key);
	if (!request)
		return 0;
	u32 dev = args->dev;
	u64 took = bpf_ktime_get_ns() - request->at, owner = request->owner;
	u32 series = request->series;
	chaos_requests.delete(&key);
	u64 *in_flight = chaos_in_flight.lookup(&dev);
	if (in_flight)
		__sync_fetch_and_add(in_flight, -1);
	CHAOS_OBSERVE(series, owner, dev, took, 1000);
	return 0;
}
