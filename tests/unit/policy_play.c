/* tests/unit/policy_play.c - plays rules that are written down as steps. See policy_play.h. */
#include "policy_play.h"

#include "policy/policy_ahead.h"
#include "policy/policy_circuit.h"
#include "policy/policy_upkeep.h"
#include "unit.h"

#define WORDS 8
#define STEP_MAX 400

struct play {
	const struct stage *stage;
	const char *rule, *step; /* what fails says both */
	struct fake *f; /* whose step it is */
	char *words[WORDS]; /* of the step; "" behind the last one */
	uint64_t mark_us;
};

static void __attribute__((noreturn)) fail_step(const struct play *play, const char *why)
{
	cr_assert(false, "%s: \"%s\": %s", play->rule, play->step, why);
	abort();
}

static bool
is_word(const struct play *play, int i, const char *word)
{
	return strcmp(play->words[i], word) == 0;
}

const char *
play_text(const struct play *play)
{
	return play->step;
}

/* --- Numbers and times: "3", "-1", "5s-1", "+60ms" from now on, "mark+10s", "next-1"; or the name of something. --- */

static uint64_t
amount(const struct play *play, const char **text)
{
	char *end;
	uint64_t n = strtoull(*text, &end, 10);

	if (end == *text)
		fail_step(play, "no number");
	if (strncmp(end, "ms", 2) == 0)
		n *= MS, end += 2;
	else if (*end == 's')
		n *= S, end++;
	*text = end;
	return n;
}

uint64_t
play_number(const struct play *play, const char *text)
{
	static const struct {
		const char *word;
		size_t len;
	} from[] = { { "mark", 4 }, { "next", 4 }, { "", 0 } };
	uint64_t n;
	int i = 0;

	while (strncmp(text, from[i].word, from[i].len) != 0)
		i++;
	text += from[i].len;
	n = i == 0 ? play->mark_us : i == 1 ? fake_next(play->f) : *text == '+' ? play->f->now : 0;
	if (*text >= '0' && *text <= '9')
		n += amount(play, &text);
	while (*text == '+' || *text == '-') {
		bool is_less = *text++ == '-';
		uint64_t more = amount(play, &text);

		n += is_less ? -more : more;
	}
	if (*text != '\0')
		fail_step(play, text);
	return n;
}

static uint64_t
named(const struct play *play, const char *const *names, int count, const char *word)
{
	for (int i = 0; i < count; i++)
		if (strcmp(names[i], word) == 0)
			return (uint64_t)i;
	fail_step(play, word);
}

static enum connect_failure
failure(const struct play *play, const char *word)
{
	return (enum connect_failure)named(play, connect_failure_names, CF_COUNT, word);
}

/* --- Settings. --- */

#define SET(name)                                                                                                      \
	if (strncmp(word, #name, len) == 0 && #name[len] == '\0')                                                      \
	set->name = (__typeof__(set->name))value

static void
set_one(const struct play *play, struct policy_settings *set, const char *word)
{
	size_t len = strcspn(word, "=");
	uint64_t value = word[len] == '=' ? play_number(play, word + len + 1) : 1;

	SET(pool_size);
	else SET(max_overflow);
	else SET(min_idle);
	else SET(overflow_delay_us);
	else SET(overflow_linger_us);
	else SET(timeout_us);
	else if (strcmp(word, "is_holding") == 0) set->on_outage = OUTAGE_HOLD;
	else SET(hold_us);
	else SET(recycle_us);
	else SET(idle_timeout_us);
	else SET(pre_ping);
	else SET(pre_ping_idle_us);
	else SET(ping_interval_us);
	else SET(lifo);
	else if (strcmp(word, "waits_while_down") == 0) set->on_outage = OUTAGE_WAIT;
	else SET(opens_at_once);
	else SET(lends_idle_only);
	else SET(share_weight);
	else SET(share_min);
	else fail_step(play, word);
}

/* "2+1 min_idle=1 is_holding": pool_size and max_overflow, then others. */
struct policy_settings
play_settings(const char *text)
{
	struct play play = { .rule = "settings", .step = text };
	struct policy_settings set = fake_settings(0, 0);
	char copy[STEP_MAX], *rest = copy, *word;

	snprintf(copy, sizeof(copy), "%s", text);
	if (sscanf(copy, "%u+%u", &set.pool_size, &set.max_overflow) != 2)
		fail_step(&play, "size+overflow are needed");
	strsep(&rest, " ");
	while ((word = strsep(&rest, " ")) != NULL)
		set_one(&play, &set, word);
	return set;
}

/* --- What happens. --- */

static void
borrow(struct play *play, int i)
{
	bool is_lent = fake_borrow(play->f, i);

	if (*play->words[2] != '\0' && is_lent != is_word(play, 2, "lent"))
		fail_step(play, is_lent ? "lent at once" : "not lent at once");
}

static void
borrow_idle(struct play *play, int i)
{
	struct fake_client *c = &play->f->clients[i];

	c->conn = policy_borrow_idle(play->f->p, &c->waiter, play->f->now);
	if (*play->words[2] != '\0' && (c->conn != NULL) != is_word(play, 2, "lent"))
		fail_step(play, c->conn != NULL ? "lent" : "not lent");
}

static void
give_back(struct play *play, int i)
{
	fake_return(play->f, i);
}

static void
cancel(struct play *play, int i)
{
	policy_cancel(play->f->p, &play->f->clients[i].waiter, play->f->now);
}

static void
lose(struct play *play, int i)
{
	struct policy_conn *conn = play->f->clients[i].conn;

	play->f->clients[i].conn = NULL;
	policy_conn_gone(play->f->p, conn, is_word(play, 2, "down"), play->f->now);
}

static void
log_in(struct play *play, int i)
{
	fake_opened(play->f, i);
}

static void
fail_open(struct play *play, int i)
{
	fake_failed(play->f, i, failure(play, play->words[2]), is_word(play, 3, "fatal"));
}

static void
health_check_fails(struct play *play, int i)
{
	struct fail why;

	fail_set(&why, "08001", "timed out");
	policy_health_check_failed(play->f->p, &play->f->conns[i], failure(play, play->words[2]), false, &why,
				   play->f->now);
}

static void
pinged(struct play *play, int i)
{
	policy_ping_done(play->f->p, &play->f->conns[i], is_word(play, 2, "ok"), play->f->now);
}

static void
gone(struct play *play, int i)
{
	policy_conn_gone(play->f->p, &play->f->conns[i], is_word(play, 2, "down"), play->f->now);
}

static void
alive(struct play *play, int i)
{
	play->f->conns[i].heard_us = play->f->now;
}

static void
explain(struct play *play, int i)
{
	policy_explain_wait(play->f->p, &play->f->clients[i].waiter, play->f->now, &play->f->clients[i].why);
}

static void
due(struct play *play, int i)
{
	play->f->conns[i].is_recycle_due = true;
}

static void
age(struct play *play, int i)
{
	policy_retire_conn(play->f->p, &play->f->conns[i], play->f->now);
}

static void
go_ahead(struct play *play, int i)
{
	const struct policy_ahead what = { .t = &play->f->clients[i].waiter };

	policy_note_sent_ahead(play->f->p, play->f->clients[play_number(play, play->words[2])].conn, &what, 5 * MS,
			       play->f->now);
}

static void
take(struct play *play, int i)
{
	policy_begin_first_ahead(play->f->clients[i].conn, play->f->now);
}

static void
disown(struct play *play, int i)
{
	policy_forget_ahead(play->f->clients[i].conn);
}

/* For each of a range of clients or connections: "borrow 1-3 waits". */
static const struct {
	const char *word;
	void (*act)(struct play *play, int i);
} acts[] = { { "borrow", borrow },    { "borrow_idle", borrow_idle },
	     { "return", give_back }, { "cancel", cancel },
	     { "lose", lose },	      { "login", log_in },
	     { "fail", fail_open },   { "health_check_fails", health_check_fails },
	     { "ping", pinged },      { "gone", gone },
	     { "due", due },	      { "alive", alive },
	     { "explain", explain },  { "age", age },
	     { "ahead", go_ahead },   { "take", take },
	     { "disown", disown } };

static void
at(struct play *play)
{
	fake_at(play->f, play_number(play, play->words[1]));
}

static void
now(struct play *play)
{
	play->f->now = play_number(play, play->words[1]);
}

static void
all(struct play *play)
{
	uint64_t now_us = play_number(play, play->words[1]);

	for (int turn = 0; turn < play->stage->count; turn++) /* one may wake another */
		for (int i = 0; i < play->stage->count; i++) {
			struct fake *f = &play->stage->pools[i];

			if (play->stage->hears)
				policy_worker_run_orders(f->worker, f->now);
			fake_at(f, now_us);
		}
}

static void
fill(struct play *play)
{
	fake_fill(play->f, (int)play_number(play, play->words[1]), (int)play_number(play, play->words[2]));
}

static void
mark(struct play *play)
{
	play->mark_us = *play->words[1] != '\0' ? play_number(play, play->words[1]) : play->f->now;
}

static void
reload(struct play *play)
{
	for (int i = 1; i < WORDS && *play->words[i] != '\0'; i++)
		set_one(play, &play->f->settings, play->words[i]);
	policy_reconfigure(play->f->p, &play->f->settings, play->f->now);
}

static void
close_all(struct play *play)
{
	policy_close_all(play->f->p, (enum recycle_reason)named(play, recycle_reason_names, RR_COUNT, play->words[1]),
			 play->f->now);
}

static void
refuse_all(struct play *play)
{
	struct fail why;

	fail_set(&why, "57P01", "shutting down");
	policy_refuse_all(play->f->p, &why, RF_SHUTDOWN, play->f->now);
}

static void
cannot_open(struct play *play)
{
	play->f->cannot_open = !is_word(play, 1, "off");
}

static void
cannot_give(struct play *play)
{
	play->f->cannot_give = true;
}

static void
slow_to_close(struct play *play)
{
	play->f->is_slow_to_close = true;
}

#define CALLS(X) X(pause) X(resume) X(reconnect) X(distrust) X(health_check)
#define CALL(name)                                                                                                     \
	static void call_##name(struct play *play)                                                                     \
	{                                                                                                              \
		policy_##name(play->f->p, play->f->now);                                                               \
	}
CALLS(CALL)
#define CALL_ROW(name) { #name, call_##name },

static void
tick(struct play *play)
{
	play->f->due = policy_tick(play->f->p, play->f->now);
}

static const struct {
	const char *word;
	void (*act)(struct play *play);
} others[] = { CALLS(CALL_ROW){ "tick", tick },
	       { "at", at },
	       { "now", now },
	       { "all", all },
	       { "fill", fill },
	       { "mark", mark },
	       { "reload", reload },
	       { "close_all", close_all },
	       { "refuse_all", refuse_all },
	       { "cannot_open", cannot_open },
	       { "cannot_give", cannot_give },
	       { "slow_to_close", slow_to_close } };

static void
act(struct play *play)
{
	const struct stage *stage = play->stage;
	unsigned from, to;

	EACH(row, acts) {
		if (!is_word(play, 0, row->word))
			continue;
		switch (sscanf(play->words[1], "%u-%u", &from, &to)) {
		case 1:
			row->act(play, (int)from);
			return;
		case 2:
			for (; from <= to; from++)
				row->act(play, (int)from);
			return;
		default:
			fail_step(play, "whose?");
		}
	}
	EACH(r, others)
		if (is_word(play, 0, r->word)) {
			r->act(play);
			return;
		}
	if (stage->act == NULL || !stage->act(play, stage->world, play->f, play->words))
		fail_step(play, "no such step");
}

/* --- What is expected. --- */

#define VALUE(text, field)                                                                                             \
	if (strcmp(name, text) == 0)                                                                                   \
	return (uint64_t)(field)

static uint64_t
plain_value(struct play *play, const char *name)
{
	struct fake *f = play->f;
	struct policy_counts counts = fake_counts(f);
	uint64_t value;

	VALUE("opened", f->opened);
	VALUE("closed", f->closed);
	VALUE("pinged", f->pinged);
	VALUE("given", f->given);
	VALUE("next", fake_next(f));
	VALUE("opening", counts.opening);
	VALUE("idle", counts.idle);
	VALUE("pinging", counts.pinging);
	VALUE("lent", counts.lent);
	VALUE("closing", counts.closing);
	VALUE("waiting", counts.waiting);
	VALUE("overflow", counts.overflow);
	VALUE("paused", counts.is_paused);
	VALUE("backoff", counts.backoff_until_us);
	VALUE("outage", counts.outage.since_us);
	VALUE("outage_held", counts.outage.held);
	VALUE("waits", f->counters.waits);
	VALUE("pool_timeouts", f->counters.pool_timeouts);
	VALUE("outages", f->counters.outages);
	VALUE("outage_us", f->counters.outage_us);
	VALUE("held", f->counters.held);
	VALUE("ahead", policy_count_ahead(f->p));
	VALUE("first", f->counters.pipelined[PL_FIRST]);
	VALUE("second", f->counters.pipelined[PL_SECOND]);
	VALUE("again", f->counters.pipelined[PL_AGAIN]);
	VALUE("pings_ok", f->counters.pings_ok);
	VALUE("pings_failed", f->counters.pings_failed);
	if (play->stage->read == NULL || !play->stage->read(play->stage->world, f, name, 0, &value))
		fail_step(play, "no such value");
	return value;
}

static uint64_t
listed_value(struct play *play, const char *name, const char *index)
{
	struct fake *f = play->f;
	bool is_named = *index >= 'a';
	uint64_t i = !is_named			     ? play_number(play, index)
		     : strcmp(name, "recycles") == 0 ? named(play, recycle_reason_names, RR_COUNT, index)
						     : named(play, checkout_source_names, CS_COUNT, index);
	uint64_t value;

	VALUE("checkouts", f->counters.checkouts[i]);
	VALUE("recycles", f->counters.recycles[i]);
	VALUE("closed_which", f->closed_which[i]);
	VALUE("pinged_which", f->pinged_which[i]);
	VALUE("holds", fake_holds(f, (int)i));
	VALUE("refusals", f->clients[i].refusals);
	VALUE("grants", f->clients[i].grants);
	VALUE("waits", f->clients[i].waiter.waits != WAITS_NOT);
	VALUE("kind", f->clients[i].kind);
	VALUE("may_go_ahead", policy_next_ahead(f->p, f->now) == &f->clients[i].waiter);
	VALUE("lost_ahead", policy_first_ahead_is_orphaned(f->clients[i].conn));
	if (play->stage->read == NULL || !play->stage->read(play->stage->world, f, name, i, &value))
		fail_step(play, "no such value");
	return value;
}

/* What a client was told: "detail[1]='the pool is paused'", or a shard of it behind ~. */
static void
check_text(struct play *play, const char *name, unsigned client, char sign, const char *want)
{
	const struct fail *why = &play->f->clients[client].why;
	const char *is = *name == 's'	? why->sqlstate
			 : *name == 't' ? why->text
			 : *name == 'd' ? why->detail
					: why->hint;

	cr_expect(sign == '~' ? strstr(is, want) != NULL : strcmp(is, want) == 0, "%s: \"%s\": %s", play->rule,
		  play->step, is);
}

static void
check_number(struct play *play, const char *name, const char *index, char sign, const char *want)
{
	uint64_t is = *index != '\0' ? listed_value(play, name, index) : plain_value(play, name);
	uint64_t n = *want < 'a' || strncmp(want, "mark", 4) == 0 || strncmp(want, "next", 4) == 0
			 ? play_number(play, want)
			 : named(play, request_failure_names, RF_COUNT, want);

	cr_expect(sign == '='	? is == n
		  : sign == '!' ? is != n
		  : sign == '<' ? is <= n
				: is >= n,
		  "%s: \"%s\": %lld", play->rule, play->step, (long long)is);
}

/* NAME=VALUE, NAME[INDEX]=VALUE, or for each of a range NAME[1-3]=VALUE; op is where = is. */
static void
check(struct play *play, char *name, char *op)
{
	char sign = *op, *want = op + (sign == '=' || sign == '~' ? 1 : 2), *index = name + strcspn(name, "[");
	unsigned from, to;

	*op = '\0';
	if (index < op) {
		*index++ = '\0';
		index[strcspn(index, "]")] = '\0';
	} else
		index = op;
	if (*want == '\'')
		want[strlen(want) - 1] = '\0';
	if (sscanf(index, "%u-%u", &from, &to) != 2)
		to = from = (unsigned)strtoul(index, NULL, 10);
	for (; from <= to; from++) {
		char one[12];

		snprintf(one, sizeof(one), "%u", from);
		if (*want == '\'')
			check_text(play, name, from, sign, want + 1);
		else
			check_number(play, name, *index >= '0' && *index <= '9' ? one : index, sign, want);
	}
}

static void
play_step(struct play *play, char *step)
{
	char *op = step + strcspn(step, "=!<>~ ");

	play->f = play->stage->pools;
	if (*op == ' ' && op == step + 1) {
		play->f += *step - 'a';
		cr_assert_lt(play->f - play->stage->pools, play->stage->count, "%s: %s", play->rule, play->step);
		step += 2;
		op = step + strcspn(step, "=!<>~ ");
	}
	if (*op != '\0' && *op != ' ') {
		check(play, step, op);
		return;
	}
	for (int i = 0; i < WORDS; i++) {
		char *word = strsep(&step, " ");

		play->words[i] = word != NULL ? word : play->words[i - 1] + strlen(play->words[i - 1]);
	}
	act(play);
}

void
play_steps(const struct stage *stage, const char *rule, const char *steps)
{
	struct play play = { .stage = stage, .rule = rule };

	while (*steps != '\0') {
		char shown[STEP_MAX], step[STEP_MAX];
		size_t len = 0;
		bool is_quoted = false;

		for (; steps[len] != '\0' && (is_quoted || steps[len] != ';'); len++)
			is_quoted ^= steps[len] == '\'';
		snprintf(shown, sizeof(shown), "%.*s", (int)len, steps);
		strcpy(step, shown);
		if (!strchr(step, '\''))
			step[strcspn(step, "(")] = '\0';
		while (step[0] != '\0' && step[strlen(step) - 1] == ' ')
			step[strlen(step) - 1] = '\0';
		play.step = shown;
		play_step(&play, step);
		steps += len + (steps[len] == ';');
		steps += strspn(steps, " ");
	}
}

void
play_rules(const struct rule *rules, size_t count)
{
	for (const struct rule *r = rules; r < rules + count; r++) {
		struct policy_settings set = play_settings(r->pool);
		struct fake f;
		struct stage alone = { .pools = &f, .count = 1 };

		fake_init(&f, &set, NULL);
		play_steps(&alone, r->rule, r->steps);
		fake_fini(&f);
	}
}
