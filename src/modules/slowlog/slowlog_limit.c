/* src/modules/slowlog/slowlog_limit.c - see slowlog.h. */
#include "modules/slowlog/slowlog.h"
#include "base/clock.h"

#define BURST_US (5 * US_PER_S)

void
slowlog_limit_change(struct slowlog_limit *l, uint32_t max_lines_per_second)
{
	l->max_lines_per_second = max_lines_per_second;
	l->credit = max_lines_per_second * US_PER_S;
}

static uint64_t
elapsed_us(uint64_t since_us, uint64_t now_us, uint64_t at_most_us)
{
	return now_us > since_us ? clock_lesser_us(now_us - since_us, at_most_us) : 0;
}

static struct slowlog_slot *
find_or_replace_slot(struct slowlog_limit *l, uint64_t key, uint64_t now_us)
{
	struct slowlog_slot *set = l->slots[key % SLOWLOG_LIMIT_SETS], *oldest = set;

	for (struct slowlog_slot *s = set; s < set + SLOWLOG_LIMIT_WAYS; s++) {
		if (s->key == key && s->seen_us != 0)
			return s;
		if (s->seen_us < oldest->seen_us)
			oldest = s;
	}
	*oldest = (struct slowlog_slot){ .key = key, .seen_us = now_us, .credit_us = BURST_US };
	return oldest;
}

bool
slowlog_limit_take(struct slowlog_limit *l, uint64_t key, uint64_t now_us, uint64_t *suppressed)
{
	struct slowlog_slot *s = find_or_replace_slot(l, key, now_us);
	bool has_total_limit = l->max_lines_per_second != 0;
	uint64_t max_credit = l->max_lines_per_second * US_PER_S;

	s->credit_us += elapsed_us(s->seen_us, now_us, BURST_US);
	if (s->credit_us > BURST_US)
		s->credit_us = BURST_US;
	s->seen_us = now_us;
	l->credit += elapsed_us(l->seen_us, now_us, US_PER_S) * l->max_lines_per_second;
	if (l->credit > max_credit)
		l->credit = max_credit;
	l->seen_us = now_us;
	if (s->credit_us < US_PER_S || (has_total_limit && l->credit < US_PER_S)) {
		s->suppressed++;
		return false;
	}
	s->credit_us -= US_PER_S;
	if (has_total_limit)
		l->credit -= US_PER_S;
	*suppressed = s->suppressed;
	s->suppressed = 0;
	return true;
}

void
slowlog_limit_lost(struct slowlog_limit *l, uint64_t key, uint64_t now_us, uint64_t suppressed)
{
	find_or_replace_slot(l, key, now_us)->suppressed += suppressed + 1;
}
