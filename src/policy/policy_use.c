/* src/policy/policy_use.c - see policy_use.h. */
#include "policy/policy_use.h"
#include "base/counters.h"

#define RARELY_US 200000u /* pools with servers are sampled more often than this, other pools perhaps not */
#define HEADROOM 1.5 /* room for bursts above the average */
#define LOANS_ENOUGH 200 /* enough for a mean */
#define APART 1.5 /* two levels are compared if the connections in use differ by at least this ratio */
#define IN_PROPORTION 0.75 /* growth counts as nearly proportional from this part of proportional growth on */

static void
begin_span(struct policy_use *u, const struct policy_use_sample *sample, uint64_t now_us)
{
	struct policy_use_span *spans = u->sums.spans;
	bool keeps_previous = u->last.limit == sample->limit && now_us - u->since_us < 2 * POLICY_USE_SPAN_US;

	spans[1] = keeps_previous ? spans[0] : (struct policy_use_span){ 0 };
	spans[0] = (struct policy_use_span){ 0 };
	if (!keeps_previous)
		spans[0] = (struct policy_use_span){ .loans_in_span = sample->in_use,
						     .waits = sample->waiting,
						     .arrived = sample->waiting };
	u->clients[1] = keeps_previous ? u->clients[0] : 0;
	u->clients[0] = 0;
	u->since_us = now_us;
	for (struct policy_use_level *l = u->sums.levels; l < u->sums.levels + POLICY_USE_LEVELS; l++)
		*l = (struct policy_use_level){ l->loans / 2, l->server_us / 2, l->busy / 2 };
}

/* Counts each loan at the level of connections in use when the loan has ended, because that level does not depend on
 * how long the loan took. */
static void
note_loans(struct policy_use *u, const struct policy_use_sample *sample)
{
	struct policy_use_span *s = &u->sums.spans[0];
	uint64_t loans = sample->loans - u->last.loans, timeouts = sample->timeouts - u->last.timeouts;
	uint64_t ended = loans + u->last.in_use > sample->in_use ? loans + u->last.in_use - sample->in_use : 0;
	struct policy_use_level *l = u->sums.levels;

	s->loans += loans;
	s->loans_in_span += loans;
	s->waits += sample->waits - u->last.waits;
	s->timeouts += timeouts;
	s->waited_us += sample->waited_us - u->last.waited_us;
	/* a single term may be below 0, but the sum is right */
	s->arrived += loans + timeouts + sample->waiting - u->last.waiting;
	while (l < u->sums.levels + POLICY_USE_LEVELS - 1 && sample->busy > 1u << (l - u->sums.levels))
		l++;
	l->loans += ended;
	l->server_us += sample->server_us - u->last.server_us;
	l->busy += ended * (sample->busy > 0 ? sample->busy : 1);
}

void
policy_use_record_sample(struct policy_use *u, const struct policy_use_sample *sample, uint64_t now_us)
{
	struct policy_use_span *s = &u->sums.spans[0];
	uint64_t us = u->sampled_us != 0 ? now_us - u->sampled_us : 0;
	/* if no connection was in use at the last sample, a time of more than RARELY_US since then counts as idle */
	uint64_t counted_us = us <= RARELY_US || u->last.in_use > 0 ? us : 0;
	uint32_t part =
	    sample->busy < sample->limit ? sample->busy * POLICY_USE_PARTS / sample->limit : POLICY_USE_PARTS;

	if (u->sampled_us != 0)
		note_loans(u, sample);
	if (u->last.limit != sample->limit || now_us - u->since_us >= POLICY_USE_SPAN_US)
		begin_span(u, sample, now_us);
	s->time_us += us;
	for (int i = 0; i < SERVER_USES; i++)
		s->uses_us[i] += sample->uses[i] * counted_us;
	s->waiting_us += sample->waiting * counted_us;
	s->at_us[0] += us - counted_us;
	s->at_us[part] += counted_us;
	u->clients[0] = u->clients[0] > sample->clients ? u->clients[0] : sample->clients;
	u->sampled_us = now_us;
	u->last = *sample;
}

void
policy_use_add(struct policy_use *to, const struct policy_use *shard)
{
	counters_add(&to->sums, &shard->sums, sizeof(to->sums));
	to->clients[0] += shard->clients[0] > shard->clients[1] ? shard->clients[0] : shard->clients[1];
	to->last.limit = shard->last.limit;
	to->last.waiting += shard->last.waiting;
}

static double
lesser(double a, double b)
{
	return a < b ? a : b;
}

static double
ratio_of(double sum, double count)
{
	return count > 0 ? sum / count : 0;
}

/* Sets *most to the number of connections that the connections in use did not exceed for this share of the time. */
static void
set_most_in_use(const struct policy_use_span *s, double share, uint32_t limit, uint32_t *most)
{
	double left_us = (double)s->time_us * share;

	for (uint64_t part = 0; part <= POLICY_USE_PARTS && left_us > 0; left_us -= (double)s->at_us[part++])
		if (s->at_us[part] > 0)
			*most =
			    part < POLICY_USE_PARTS ? (uint32_t)(((part + 1) * limit - 1) / POLICY_USE_PARTS) : limit;
}

/* Estimates the pool size that is enough. Requests that have timed out may have been sent again by the same clients, so
 * no estimate is above the number of clients. */
static void
set_enough(const struct policy_use_span *all, double waiting, double clients, struct policy_sizing *s)
{
	double timed_out = ratio_of(s->in_use * (double)all->timeouts, (double)all->loans_in_span);
	double full_share = ratio_of((double)all->at_us[POLICY_USE_PARTS], (double)all->time_us);
	double arrived = (double)(int64_t)(all->arrived + all->loans_in_span - all->loans);

	s->unlimited_most = lesser(s->in_use + waiting + timed_out, clients);
	s->unlimited = lesser(ratio_of(s->in_use * arrived, (double)all->loans_in_span), s->unlimited_most);
	s->enough = lesser((s->unlimited > s->limit ? s->unlimited : s->limit) * HEADROOM, clients);
	s->enough_most = lesser(s->limit + ratio_of(waiting + timed_out, full_share), clients);
}

static void
compare_levels(const struct policy_use_level *levels, struct policy_sizing *s)
{
	for (const struct policy_use_level *l = levels + POLICY_USE_LEVELS; l-- > levels;) {
		struct policy_service found = { ratio_of((double)l->busy, (double)l->loans),
						ratio_of((double)l->server_us, (double)l->loans) };

		if (l->loans >= LOANS_ENOUGH && s->many.busy <= 0)
			s->many = found;
		else if (l->loans >= LOANS_ENOUGH && s->few.busy <= 0 && found.busy * APART <= s->many.busy)
			s->few = found;
	}
}

struct policy_sizing
policy_use_compute_sizing(const struct policy_use *u, uint32_t shards)
{
	struct policy_use_span all = u->sums.spans[0];
	struct policy_sizing s = { .limit = u->last.limit };
	double us;

	counters_add(&all, &u->sums.spans[1], sizeof(all));
	us = (double)all.time_us / shards;
	s.span_us = all.time_us / shards;
	s.loans = all.loans;
	s.waits = all.waits;
	s.timeouts = all.timeouts;
	for (int i = 0; i < SERVER_USES; i++)
		s.in_use += s.in_use_by_party[i] = ratio_of((double)all.uses_us[i], us);
	s.hold_us = ratio_of(s.in_use * us, (double)all.loans_in_span);
	s.wait_us = ratio_of((double)all.waited_us, (double)(int64_t)(all.waits - u->last.waiting));
	s.per_second = ratio_of((double)(int64_t)all.arrived * 1e6, us);
	set_most_in_use(&all, 1, s.limit, &s.peak);
	set_most_in_use(&all, 0.95, s.limit, &s.at_95);
	set_enough(&all, ratio_of((double)all.waiting_us, us), u->clients[0], &s);
	compare_levels(u->sums.levels, &s);
	return s;
}

bool
policy_use_is_slowed(const struct policy_sizing *s)
{
	return s->few.busy > 0 && s->few.server_us > 0 &&
	       s->many.server_us / s->few.server_us - 1 >= IN_PROPORTION * (s->many.busy / s->few.busy - 1);
}
