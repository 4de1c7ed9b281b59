/*
 * src/dedicated/fleet_conn.c - the fleet connection of one budget; see fleet.h.
 *
 * A fleet connection asks one question at a time. A question for places (ASK_GRANT) is due when pools are short of
 * places and this process has less than its share. A question that only looks (ASK_LOOK) is due a second after the last
 * look (sooner while a share keeps clients waiting, later among many processes), or EARLY_LOOK_US after the last look
 * if there is a reason: a wake-up from another process, a change that the others should know, or a mark for more
 * connections than are granted or logging in.
 */
#include "dedicated/fleet_state.h"
#include "net/loop.h"
#include "wire/frame.h"

#include <stdlib.h>
#include <string.h>

#define GRANTS_AT_ONCE 16u
/* the interval of looks, which are reports, too; among 40 members it is twice as long, among 60 three times */
#define BEAT_US (1 * US_PER_S)
/* the interval of looks, in place of BEAT_US, while clients wait and news.share is limited */
#define SHORT_BEAT_US (100 * US_PER_MS)
#define SILENT_US (3 * US_PER_S)
#define EARLY_LOOK_US (20 * US_PER_MS) /* the interval of looks while there is a reason to look early */
/* after a question that was granted fewer places than it asked for: the wait until the next one, and its limit */
#define REFUSED_FIRST_US (5 * US_PER_MS)
#define REFUSED_MOST_US (50 * US_PER_MS)
#define NOTIFY_US (50 * US_PER_MS)
#define TURN_US (500 * US_PER_MS)
#define UNUSED_US (50 * US_PER_MS) /* a place that no pool takes is given back after this time */
#define ANSWER_US (5 * US_PER_S)
/* a fleet connection that has ended is expected back for this time */
#define MISSED_US (600 * US_PER_MS)
#define LOCK_HELD_US (200 * US_PER_MS)
#define BACKOFF_MIN_US (50 * US_PER_MS)
#define BACKOFF_MAX_US (500 * US_PER_MS)

static uint64_t
now_of(const struct fleet_conn *s)
{
	return *s->fleet->env.now_us;
}

static bool
is_binding(const struct fleet_conn *s)
{
	return s->b.mode == BUDGET_ON && s->b.state != FLEET_POOLED;
}

/* --- Shares and limits. --- */

/* Returns a process's part: how many of the places it should have. pid: the PID of its fleet connection. The processes
 * in use have equal parts; the places that can't be divided go to the processes with the lowest PIDs. If there are
 * fewer places than processes, the processes take turns, by their clocks. */
static uint32_t
compute_part(const struct fleet_conn *s, uint32_t pid)
{
	uint32_t taken = s->b.others + FLEET_RESERVED + s->b.member_count, in_use = 0, before = 0;
	uint32_t places = s->b.limit > taken ? s->b.limit - taken : 0;

	for (size_t i = 0; i < s->b.member_count; i++) {
		const struct fleet_member *m = &s->members[i];

		in_use += m->is_in_use && !m->is_silent;
		before += m->is_in_use && !m->is_silent && m->pid < pid;
	}
	if (places == 0 || in_use == 0)
		return places > 0 ? places : 1;
	if (places < in_use)
		before = (before + (uint32_t)(clock_wall_us() / TURN_US * places % in_use)) % in_use;
	return places / in_use + (before < places % in_use);
}

/* Returns how many connections the other processes wait for. With up_to_parts, at most a process's part counts. */
static uint32_t
count_lacking(const struct fleet_conn *s, bool up_to_parts)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < s->b.member_count; i++) {
		const struct fleet_member *m = &s->members[i];
		uint32_t part = up_to_parts ? compute_part(s, m->pid) : UINT32_MAX;
		uint32_t below = part > m->used ? part - m->used : 0;

		if (!m->is_own && !m->is_silent)
			sum += m->short_count < below ? m->short_count : below;
	}
	return sum;
}

/*
 * The share is the largest number of connections that leaves no other process with less than its part. This process
 * gives up one connection for each that a process below its part waits for, plus one for each listed connection beyond
 * the limit minus FLEET_RESERVED (others came, or the limit changed). But if this process is in use, it keeps its own
 * part. If no place is free while dedicated connections wait (asked_for), it keeps its part less one for each of these.
 */
static void
note_share(struct fleet_conn *s, const struct budget_counts *count)
{
	const struct fleet_budget *b = &s->b;
	uint32_t part = compute_part(s, s->conn.srv->pid), lack = count_lacking(s, true), share = UINT32_MAX, kept;
	bool is_over = b->looked_us > 0 && b->limit > 0 && b->listed + FLEET_RESERVED > b->limit;

	s->news.is_pressed = is_over || count_lacking(s, false) > 0;
	lack += is_over ? b->listed + FLEET_RESERVED - b->limit : 0;
	if (lack > 0) {
		kept = s->look_used > lack ? s->look_used - lack : 0;
		share = count->is_in_use && part > kept ? part : kept;
	}
	if (count->asked_for > 0 && s->news.is_full) {
		share = share < part ? share : part;
		share -= count->asked_for < share ? count->asked_for : share;
	}
	s->news.share = share;
}

/* The limit is the smallest limit of this process and the members that are not silent; 0 if this process does not know
 * its own limit yet. This process's own report does not count, because it may be old. */
static void
update_limit(struct fleet_conn *s)
{
	struct fleet_budget *b = &s->b;
	uint32_t before = b->limit;
	const char *of = "";
	bool is_other;

	b->own_limit = s->configured_limit != CONFIG_COUNT_AUTO ? s->configured_limit : s->auto_limit;
	b->limit = b->own_limit;
	for (size_t i = 0; i < b->member_count; i++) {
		const struct fleet_member *m = &s->members[i];

		if (!m->is_own && !m->is_silent && m->budget > 0 && m->budget < b->limit) {
			b->limit = m->budget;
			of = m->name;
		}
	}
	is_other = strcmp(b->limit_process, of) != 0;
	snprintf(b->limit_process, sizeof(b->limit_process), "%s", of);
	if (is_other && *of != '\0')
		log_info(
		    s->fleet->env.log,
		    "budget: %u connections at %s, set by process %s: the smallest of all counts, and here it is %u",
		    b->limit, s->hosts, of, b->own_limit);
	else if (is_other || (before != b->limit && before != 0))
		log_info(s->fleet->env.log, "budget: %u connections at %s", b->limit, s->hosts);
}

/* Tells the pools their limits if these have changed, and grants the pools `granted` places. */
static struct budget_counts
tell_pools(struct fleet_conn *s, uint32_t granted)
{
	struct budget_counts count = policy_budget_expire_and_count(s->budget, s->fleet->main_worker, now_of(s));
	struct budget_news *n = &s->news, *told = &s->told_news;

	for (size_t i = 0; i < s->b.member_count; i++)
		if (s->members[i].is_own)
			s->members[i].is_in_use = count.is_in_use; /* this process's report is older */
	if (s->b.state == FLEET_JOINED)
		note_share(s, &count);
	n->limit = s->b.state == FLEET_JOINED ? s->b.limit : 0;
	n->listed = s->b.listed;
	n->others = s->b.others;
	n->reserved = FLEET_RESERVED;
	if (n->questions != told->questions || n->limit != told->limit || n->listed != told->listed ||
	    n->others != told->others || n->share != told->share || n->is_full != told->is_full ||
	    n->is_pressed != told->is_pressed) {
		policy_budget_grant(s->budget, s->fleet->main_worker, granted, n, now_of(s));
		s->told_news = s->news;
		count = policy_budget_expire_and_count(s->budget, s->fleet->main_worker, now_of(s));
	}
	s->b.share = n->share;
	s->b.used = count.used;
	s->b.granted = count.granted;
	s->b.short_count = count.short_count > count.granted ? count.short_count - count.granted : 0;
	return count;
}

/* Returns how many more places the pools should have now. */
static uint32_t
count_wanted(const struct fleet_conn *s, const struct budget_counts *count)
{
	uint32_t has = count->used + count->granted, want = s->b.short_count;
	uint32_t left = s->b.share > has ? s->b.share - has : 0;

	if (!is_binding(s) || s->b.limit == 0)
		return 0;
	want = want < GRANTS_AT_ONCE ? want : GRANTS_AT_ONCE;
	if (left < count->asked_for)
		left = count->asked_for; /* the pools give up connections for these: see note_share() */
	return want < left ? want : left;
}

/* --- Asking. --- */

static void
send_sql(struct fleet_conn *s, struct buf *sql)
{
	memset(&s->answer, 0, offsetof(struct fleet_answer, members));
	dedicated_ask(&s->conn, sql);
}

/* Returns true if this process's limit differs from the limit that it has reported. */
static bool
is_limit_unreported(const struct fleet_conn *s)
{
	return s->b.own_limit != s->last_asked.self.budget;
}

static void
ask(struct fleet_conn *s, enum fleet_ask what, uint32_t want, const struct budget_counts *count)
{
	bool wakes_others = is_binding(s) && !s->is_standby &&
			    (is_limit_unreported(s) ||
			     (s->news.is_full && s->b.short_count > 0 && now_of(s) >= s->notify_sent_us + NOTIFY_US));
	struct buf sql = { 0 };

	if (now_of(s) >= s->beat_us + BEAT_US) {
		s->report_digit = (uint8_t)((s->report_digit + 1) % 10);
		s->beat_us = now_of(s);
	}
	if (wakes_others)
		s->notify_sent_us = now_of(s);
	if (what == ASK_LOOK) {
		s->look_us = now_of(s);
		s->look_used = count->used;
	}
	s->asked = (struct fleet_question){ .what = what,
					    .self = { .budget = s->b.own_limit,
						      .used = count->used,
						      .short_count = s->b.short_count,
						      .is_in_use = count->is_in_use,
						      .report_digit = s->report_digit },
					    .want = want,
					    .limit = s->b.limit,
					    .expected = s->expected_conns,
					    .granted_not_logged_in = count->opening + count->granted,
					    .marked = s->marked,
					    .wakes_others = wakes_others,
					    .is_first = s->b.looked_us == 0 && !s->is_standby };
	memcpy(s->asked.self.name, s->fleet->name, sizeof(s->asked.self.name));
	s->was_notified = false;
	fleet_put_question(&sql, &s->asked);
	send_sql(s, &sql);
}

/* Returns when the next ASK_LOOK is due. */
static uint64_t
compute_look_due(const struct fleet_conn *s, const struct budget_counts *count)
{
	const struct fleet_member *reported = &s->last_asked.self;
	uint32_t members = (uint32_t)s->b.member_count;
	uint64_t interval_us = s->b.short_count > 0 && s->b.share != UINT32_MAX ? SHORT_BEAT_US : BEAT_US;
	bool is_early =
	    s->b.state == FLEET_JOINED && (s->was_notified || (s->b.short_count > 0) != (reported->short_count > 0) ||
					   count->is_in_use != reported->is_in_use || is_limit_unreported(s) ||
					   (is_binding(s) && s->marked > count->opening + count->granted));

	return s->look_us + (is_early ? EARLY_LOOK_US : interval_us * (members > 20 ? members / 20 : 1));
}

/* Takes back from the pools places that no pool has wanted for UNUSED_US, or that are beyond the share. */
static void
give_back_unused(struct fleet_conn *s, struct budget_counts *count)
{
	uint32_t kept = s->b.share > count->used ? s->b.share - count->used : 0;
	bool is_unused = count->granted > 0 && count->short_count == 0;

	if (!is_unused)
		s->unused_since_us = 0;
	else if (s->unused_since_us == 0)
		s->unused_since_us = now_of(s);
	if (is_unused && now_of(s) >= s->unused_since_us + UNUSED_US)
		kept = 0;
	if (count->granted <= kept)
		return;
	policy_budget_ungrant(s->budget, s->fleet->main_worker, kept);
	count->granted = s->b.granted = kept;
}

/* Asks the question that is due, if any; returns when the next step is due. */
static uint64_t
ask_due(struct fleet_conn *s)
{
	struct budget_counts count;
	uint32_t want;
	uint64_t due_us;

	update_limit(s); /* a reload may have changed the limit */
	count = tell_pools(s, 0);
	give_back_unused(s, &count);
	want = count_wanted(s, &count);
	due_us = compute_look_due(s, &count);
	if (want > 0 && now_of(s) >= s->next_grant_us)
		ask(s, ASK_GRANT, want, &count);
	else if (now_of(s) >= due_us)
		ask(s, ASK_LOOK, 0, &count);
	else
		return clock_lesser_us(
		    due_us, clock_lesser_us(want > 0 ? s->next_grant_us : UINT64_MAX,
					    s->unused_since_us > 0 ? s->unused_since_us + UNUSED_US : UINT64_MAX));
	return dedicated_run(&s->conn);
}

void
fleet_conn_run(void *fleet_conn)
{
	struct fleet_conn *s = fleet_conn;
	uint64_t due_us;

	if (s->must_abandon_logins) {
		s->must_abandon_logins = false;
		policy_budget_abandon_logins(s->budget, s->fleet->main_worker, now_of(s));
	}
	due_us = dedicated_run(&s->conn);
	if (due_us == 0)
		due_us = s->b.state == FLEET_POOLED ? UINT64_MAX : ask_due(s);
	if (due_us != UINT64_MAX)
		timer_start(&s->timer, due_us > now_of(s) ? due_us - now_of(s) : 0);
}

/* --- Answers. --- */

/* Returns the member whose fleet connection has this backend PID; NULL if the last look did not find it. */
static const struct fleet_member *
find_member(const struct fleet_conn *s, uint32_t pid)
{
	for (size_t i = 0; i < s->b.member_count; i++)
		if (s->members[i].pid == pid)
			return &s->members[i];
	return NULL;
}

static void
take_members(struct fleet_conn *s)
{
	for (size_t i = 0; i < s->answer.member_count; i++) {
		struct fleet_member *m = &s->answer.members[i];
		const struct fleet_member *before = find_member(s, m->pid);

		m->is_own = m->pid == s->conn.srv->pid;
		m->heard_us = before == NULL || before->report_digit != m->report_digit ? now_of(s) : before->heard_us;
		m->is_silent = !m->is_own && now_of(s) > m->heard_us + SILENT_US * (1 + s->answer.member_count / 20);
	}
	s->b.member_count = (uint32_t)s->answer.member_count;
	memcpy(s->members, s->answer.members, s->answer.member_count * sizeof(s->members[0]));
}

/* Logs the strangers that the previous look did not find. */
static void
take_strangers(struct fleet_conn *s)
{
	const struct fleet_answer *a = &s->answer;

	for (size_t i = 0; i < a->stranger_count; i++) {
		const struct fleet_stranger *now = &a->strangers[i];
		bool is_known = false;

		for (size_t k = 0; k < s->b.stranger_count; k++)
			is_known |= s->strangers[k].pid == now->pid;
		if (!is_known)
			log_warning(s->fleet->env.log,
				    "budget: a session that is not pgweir's holds advisory locks of the budget at %s: "
				    "PID %u, user %s, "
				    "application %s; only those of cluster_user count",
				    s->hosts, now->pid, now->user, now->application);
	}
	s->b.stranger_count = (uint32_t)a->stranger_count;
	memcpy(s->strangers, a->strangers, a->stranger_count * sizeof(s->strangers[0]));
}

/* `others` is the number of listed connections beyond those that members report. The smaller of two looks in a row
 * counts, because a connection stays listed for a moment after its member has reported it as ended. */
static void
note_others(struct fleet_conn *s)
{
	uint32_t known = s->asked.self.used + s->b.member_count, found;

	for (size_t i = 0; i < s->b.member_count; i++)
		known += s->members[i].is_own ? 0 : s->members[i].used;
	found = s->answer.listed > known ? s->answer.listed - known : 0;
	s->b.others = found < s->found_others ? found : s->found_others;
	s->found_others = found;
}

static void
note_listed(struct fleet_conn *s)
{
	struct fleet_budget *b = &s->b;

	if (b->looked_us > 0 && b->limit > 0 && b->listed > b->limit)
		b->over_us += now_of(s) - b->looked_us;
	b->listed = s->answer.listed;
	if (b->listed > b->peak) {
		b->peak = b->listed;
		b->peak_wall_us = clock_wall_us();
	}
	b->looked_us = now_of(s);
}

/* Does nothing while a connection logs in, because it may not be listed yet. Otherwise, with `advise`, counts the
 * connections that were opened while no place was left. */
static void
count_opens_over_limit(struct fleet_conn *s, uint64_t taken, uint32_t opening)
{
	uint32_t most = s->b.limit > FLEET_RESERVED ? s->b.limit - FLEET_RESERVED : 0;
	uint64_t over = s->b.listed > most ? s->b.listed - most : 0, opened = taken - s->taken;

	if (opening > 0)
		return;
	if (s->b.mode == BUDGET_ADVISE && s->b.limit > 0)
		s->b.over_opens += over < opened ? over : opened;
	s->taken = taken;
}

/* Expects a missing fleet connection back for MISSED_US: usually it logs in again at once, without asking for a
 * place. */
static void
note_missing(struct fleet_conn *s)
{
	if (s->answer.fleet_conns < s->fleet_conns)
		s->missed_us = now_of(s);
	s->fleet_conns = s->answer.fleet_conns;
	if (s->fleet_conns >= s->expected_conns || now_of(s) >= s->missed_us + MISSED_US)
		s->expected_conns = s->fleet_conns;
}

static void
note_grant(struct fleet_conn *s)
{
	uint32_t granted = s->answer.granted;

	s->b.checks[granted > 0 ? FC_GRANTED : FC_NONE]++;
	s->b.check_us += now_of(s) - s->conn.asked_us;
	s->news.questions++;
	s->news.is_full = granted < s->asked.want;
	s->refusals = s->news.is_full ? s->refusals + 1 : 0;
	s->next_grant_us = !s->news.is_full ? 0
					    : now_of(s) + backoff_us(s->refusals - 1, REFUSED_FIRST_US, REFUSED_MOST_US,
								     &s->conn.random);
}

/* Returns false if the row is missing; the connection is then closed. A connection to another pooler stays open, but
 * asks nothing. */
static bool
take_who(struct fleet_conn *s)
{
	const struct fleet_answer *a = &s->answer;

	if (!a->has_identity)
		return false;
	s->is_standby = a->is_standby;
	s->auto_limit = a->unreserved_slots - a->unreserved_slots / 10;
	if (a->pid == s->conn.srv->pid) {
		s->b.state = FLEET_JOINED;
		update_limit(s);
		log_info(s->fleet->env.log, "budget: joined at %s, %u connections", s->hosts, s->b.limit);
		return true;
	}
	log_warning(
	    s->fleet->env.log,
	    "budget: a pooler stands between pgweir and %s, so PostgreSQL's list does not show pgweir's connections; "
	    "there is no budget",
	    s->hosts);
	s->b.state = FLEET_POOLED;
	policy_budget_set_keeper(s->budget, s->fleet->main_worker, s->fleet->worker, false, now_of(s));
	return true;
}

/* Called when another session has held the lock for a second, or holds a lock that keeps a mark from being taken.
 * Nothing was granted. */
static void
note_lock_held(struct fleet_conn *s)
{
	if (s->b.state != FLEET_LOCK_HELD)
		log_warning(s->fleet->env.log,
			    "budget: another session holds the lock at %s%s (SHOW BUDGET has the process)", s->hosts,
			    s->b.mode == BUDGET_ON ? "; no connection is opened until it is free" : "");
	s->b.state = FLEET_LOCK_HELD;
	s->next_grant_us = now_of(s) + LOCK_HELD_US;
	if (s->asked.what == ASK_GRANT)
		s->look_us = 0; /* find out which session holds the lock */
}

/* Notes whether locks can be taken. */
static void
note_lock_state(struct fleet_conn *s)
{
	const struct fleet_answer *a = &s->answer;

	if (!a->is_marked) {
		note_lock_held(s);
	} else if (s->asked.what == ASK_GRANT || !a->is_lock_held) {
		if (s->b.state == FLEET_LOCK_HELD)
			log_info(s->fleet->env.log, "budget: the lock at %s is free again", s->hosts);
		s->b.state = FLEET_JOINED;
	}
	if (s->asked.what == ASK_LOOK)
		s->b.lock_pid = a->lock_pid;
	if (s->b.state == FLEET_JOINED)
		s->b.lock_pid = 0;
}

static bool
take_answer(struct fleet_conn *s)
{
	struct budget_counts count;

	if (!s->answer.is_counted || s->answer.granted > (s->answer.is_marked ? s->asked.want : 0))
		return false;
	if (s->answer.is_marked)
		s->marked = s->asked.granted_not_logged_in + s->answer.granted;
	dedicated_forget_failures(&s->conn);
	note_lock_state(s);
	if (s->asked.what == ASK_LOOK) {
		take_members(s);
		take_strangers(s);
		note_others(s);
	}
	update_limit(s);
	note_missing(s);
	note_listed(s);
	if (s->asked.what == ASK_GRANT && s->answer.is_marked)
		note_grant(s);
	s->last_asked = s->asked;
	count = tell_pools(s, s->answer.granted);
	count_opens_over_limit(s, count.taken, count.opening);
	return true;
}

/* --- Events of the connection. --- */

static void
become_keeper(struct fleet_conn *s)
{
	policy_budget_set_keeper(s->budget, s->fleet->main_worker, s->fleet->worker, s->b.mode == BUDGET_ON, now_of(s));
	s->news = s->told_news = (struct budget_news){ .share = UINT32_MAX };
}

static void
on_up(struct dedicated *d)
{
	struct fleet_conn *s = (struct fleet_conn *)d;
	struct buf sql = { 0 };

	s->refusals = 0;
	circuit_note_answer(&s->circuit, now_of(s));
	s->asked = (struct fleet_question){ .what = ASK_WHO };
	fleet_put_first(&sql, s->users);
	send_sql(s, &sql);
	timer_start(&s->timer, ANSWER_US);
}

static void
on_failed(struct dedicated *d, enum connect_failure kind, bool is_fatal, const struct fail *why)
{
	struct fleet_conn *s = (struct fleet_conn *)d;

	circuit_note_failure(&s->circuit, kind, is_fatal, why, d->opened_us, now_of(s));
}

static bool
on_error(struct dedicated *d, const struct fail *why)
{
	struct fleet_conn *s = (struct fleet_conn *)d;
	bool is_locked = s->asked.what == ASK_GRANT && strcmp(why->sqlstate, "55P03") == 0;

	s->b.checks[FC_FAILED]++;
	if (is_locked)
		note_lock_held(s);
	return !is_locked;
}

static void
on_row(struct dedicated *d, const uint8_t *body, size_t len, bool is_whole)
{
	if (is_whole)
		fleet_read_row(&((struct fleet_conn *)d)->answer, body, len);
}

static void
on_done(struct dedicated *d)
{
	struct fleet_conn *s = (struct fleet_conn *)d;
	bool is_good = d->state == DEDICATED_REFUSED ? s->b.state == FLEET_LOCK_HELD
		       : s->asked.what == ASK_WHO    ? take_who(s)
						     : take_answer(s);

	d->srv->stream.is_broken |= !is_good;
}

static void
on_notification(struct dedicated *d, const uint8_t *message, size_t len)
{
	bool is_own = len >= 9 && wire_u32(message + 5) == d->srv->pid;

	((struct fleet_conn *)d)->was_notified |= !is_own;
}

static void
on_batch_end(struct dedicated *d)
{
	fleet_conn_run(d);
}

/* When the connection ends, PostgreSQL drops its mark, so with budget = on, the logins under way must be abandoned. */
static void
on_closed(struct dedicated *d)
{
	struct fleet_conn *s = (struct fleet_conn *)d;

	if (d->state != DEDICATED_AWAY && s->b.mode == BUDGET_ON)
		s->must_abandon_logins = true;
	if (s->b.state != FLEET_CONNECTING)
		log_info(s->fleet->env.log, "budget: the connection to %s was lost", s->hosts);
	s->marked = 0;
	s->b.looked_us = 0;
	s->b.member_count = 0;
	s->b.state = FLEET_CONNECTING;
	become_keeper(s);
	timer_start(&s->timer, 0);
}

static const struct dedicated_ops conn_ops = {
	.backoff_min_us = BACKOFF_MIN_US,
	.backoff_max_us = BACKOFF_MAX_US,
	.answer_us = ANSWER_US,
	.topic = "budget",
	.up = on_up,
	.failed = on_failed,
	.error = on_error,
	.row = on_row,
	.done = on_done,
	.notification = on_notification,
	.batch_end = on_batch_end,
	.closed = on_closed,
};

/* --- Creation and end. --- */

struct fleet_conn *
fleet_conn_new(struct fleet *f, char *hosts)
{
	struct fleet_conn *s = calloc(1, sizeof(*s));

	if (s == NULL ||
	    (s->budget = policy_budget_get_or_create(f->main_worker->commons, 'h', hosts, strlen(hosts))) == NULL ||
	    (s->host_circuit = policy_circuit_get_or_create(f->main_worker->commons, hosts)) == NULL) {
		if (s != NULL)
			policy_budget_put(f->main_worker->commons, s->budget);
		free(s);
		free(hosts);
		return NULL;
	}
	s->fleet = f;
	s->orders = (struct policy_orders){ .worker = f->worker, .arm_at_us = UINT64_MAX };
	circuit_join(s->host_circuit, &s->circuit, &s->orders);
	s->hosts = hosts;
	dedicated_init(&s->conn, &conn_ops, f->pools, &f->env);
	s->conn.name = s->b.hosts = s->hosts;
	s->b.last_error = s->conn.last_error;
	s->b.database = s->database;
	s->b.members = s->members;
	s->b.strangers = s->strangers;
	s->b.share = UINT32_MAX;
	timer_init(&s->timer, f->env.base, f->env.now_us, fleet_conn_run, s);
	TAILQ_INSERT_TAIL(&f->conns, s, link);
	return s;
}

void
fleet_conn_set_mode(struct fleet_conn *s, enum budget_mode mode)
{
	if (s->b.mode == mode)
		return;
	s->b.mode = mode;
	s->conn.trouble_hint = mode == BUDGET_ON ? ", and no connection is opened meanwhile" : "";
	become_keeper(s);
}

void
fleet_conn_free(struct fleet_conn *s)
{
	TAILQ_REMOVE(&s->fleet->conns, s, link);
	dedicated_fini(&s->conn);
	timer_stop(&s->timer);
	policy_budget_set_keeper(s->budget, s->fleet->main_worker, NULL, is_binding(s), now_of(s));
	policy_budget_put(s->fleet->main_worker->commons, s->budget);
	circuit_leave(&s->circuit);
	policy_worker_forget(&s->orders);
	policy_circuit_put(s->fleet->main_worker->commons, s->host_circuit);
	free(s->users);
	free(s->hosts);
	free(s);
}
