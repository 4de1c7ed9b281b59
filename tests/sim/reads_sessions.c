/*
 * tests/sim/reads_sessions.c - see reads_sim.h. Each session has the set of changes that it has written or been shown.
 *
 * - Each snapshot that it gets shows all of that set: it reads its own writes, and nothing disappears again.
 * - The same holds for the primary when its write begins: writes follow reads, and each other.
 * - A change may be missed without excuse only if it is not in the log of the primary that the session was told of
 * last; and then causality_take_loss() has said so when it came to that primary.
 *
 * While there is another primary that nobody knows of yet, what that does not have is lost already, and what the old
 * one shows is of no use: both excuse a miss until the session comes to the new one.
 */
#include "reads_sim.h"

#include <string.h>

#define LAG_US 1
#define CATCH_UP 30 /* steps that a read waits for a standby */
#define GIVE_UP 300

/* --- what must hold --- */

static bool
is_of_newest(const struct reads_sim *s, const struct session *c)
{
	return s->watch.histories[c->token.history].life == s->hosts[s->newest].life;
}

static void
check_shown(struct reads_sim *s, const struct session *c, const struct bits *shown, const char *what)
{
	const struct host *newest = &s->hosts[s->newest], *h = &s->hosts[c->host];
	struct bits missed = bits_without(&c->set, shown);

	if (bits_is_empty(&missed))
		return;
	if (!is_of_newest(s, c)) {
		bool is_fork =
		    h != newest && (h->is_primary || h->source != s->newest || !model_has(s, newest->at, h->at));
		struct bits lost = bits_without(&missed, &s->records[newest->at].commits);
		struct bits there = bits_without(&missed, &lost);

		if (is_fork || bits_is_empty(&there)) {
			s->excused++;
			return;
		}
	}
	for (unsigned i = 0; i < CHANGES; i++)
		if (bits_has(&missed, i))
			sim_fail("session %u misses %u (xid %u, at %u) when it %s on host %u", c->number, i,
				 (unsigned)s->changes[i].xid, (unsigned)model_position(s, s->changes[i].record), what,
				 c->host);
}

static void
check_lost(struct reads_sim *s, struct session *c)
{
	const struct cluster_view *v = &s->watch.view;
	uint32_t before = c->token.history;
	uint64_t position, end;
	bool is_told = causality_take_loss(&c->token, v, &position, &end);
	const struct bits *has;
	struct bits lost;

	if (before == v->history) {
		if (is_told)
			sim_fail("session %u is told of a loss within a history", c->number);
		return;
	}
	has = &s->records[s->heads[s->watch.histories[v->history].life]].commits;
	lost = bits_without(&c->set, has);
	trace_line("session %u comes to history %u%s", c->number, v->history, is_told ? ": told of a loss" : "");
	if (!bits_is_empty(&lost) && !is_told) {
		if (is_of_newest(s, c))
			sim_fail("session %u is not told of a loss", c->number);
		return; /* it comes to an old primary's next life; what it misses there the newest may have shown it */
	}
	if (before != 0) {
		s->told += is_told;
		s->false_alarms += is_told && bits_is_empty(&lost);
	}
	c->set = bits_without(&c->set, &lost);
}

/* --- positions that travel --- */

/* All that a session has seen lies before what the primary has inserted by now, and before a reading that covers it. */
static void
give(struct reads_sim *s, struct session *to)
{
	const struct session *from = &s->sessions[reads_below(s, SESSIONS)];
	const struct read_token *t = &from->token;
	const struct cluster_view *v = &s->watch.view;
	const struct reading *r;

	if (from == to || t->is_unsettled || from->state != SESSION_IDLE || v->primary < 0 || t->history != v->history)
		return;
	r = &v->hosts[v->primary].last;
	if (r->number > t->primary_due && r->number > t->host_due && reads_chance(s, 2048))
		to->given = r->position;
	else if (s->hosts[v->primary].life == s->watch.hosts[v->primary].life)
		to->given = model_position(s, s->hosts[v->primary].at);
	else
		return;
	to->given_due = s->watch.view.begun + 1;
	to->given_history = t->history;
	to->given_set = from->set;
	trace_line("session %u is given %u by %u", to->number, (unsigned)to->given, from->number);
}

/* A position of another history tells nothing. */
static void
take(struct reads_sim *s, struct session *c)
{
	enum causality is_taken;

	if (c->given == 0)
		return;
	is_taken = causality_require(&c->token, &s->watch.view, c->given, c->given_due);
	if (is_taken == CAUSALITY_LATER)
		return;
	c->given = 0;
	if (c->given_history != s->watch.view.history)
		return;
	if (is_taken == CAUSALITY_NEVER)
		sim_fail("session %u: %u is refused", c->number, (unsigned)c->given);
	s->taken++;
	bits_unite(&c->set, &c->given_set);
}

/* --- where a request goes --- */

static void
rest(struct session *c)
{
	c->state = SESSION_IDLE;
	c->change = CHANGES;
}

static void
send(struct reads_sim *s, struct session *c, unsigned host)
{
	c->host = host;
	c->is_on_standby = s->watch.view.hosts[host].role == HOST_STANDBY;
	c->life = s->watch.hosts[host].life;
	c->view_life = s->watch.view.hosts[host].life;
	c->state = SESSION_SENT;
	c->awaited = 0;
	c->due = s->step + reads_below(s, s->profile.reply_late);
}

static void
look_standby(struct reads_sim *s, struct session *c)
{
	enum causality may = causality_check_read(&c->token, &s->watch.view, c->host, LAG_US);
	uint64_t awaited;

	if (may == CAUSALITY_LATER && reads_chance(s, 1024) &&
	    (awaited = causality_needed_position(&c->token, &s->watch.view, c->host)) != UINT64_MAX) {
		send(s, c, c->host);
		c->awaited = awaited;
	} else if (may == CAUSALITY_NOW)
		send(s, c, c->host);
	else if (may == CAUSALITY_NEVER || c->since + CATCH_UP < s->step)
		c->wish = WISH_READ_PRIMARY;
}

static void
look_primary(struct reads_sim *s, struct session *c)
{
	bool was_unsettled = c->token.is_unsettled;

	if (causality_check_write(&c->token, &s->watch.view) == CAUSALITY_NOW && s->watch.view.primary >= 0) {
		s->settled += was_unsettled;
		send(s, c, (unsigned)s->watch.view.primary);
	} else if (c->since + GIVE_UP < s->step && !s->is_calm) {
		s->given_up++;
		rest(c);
	}
}

static void
look(struct reads_sim *s, struct session *c)
{
	check_lost(s, c);
	take(s, c);
	if (c->wish == WISH_READ)
		look_standby(s, c);
	else
		look_primary(s, c);
}

/* --- how it goes there --- */

static void
end(struct reads_sim *s, struct session *c)
{
	if (c->is_on_standby)
		causality_note_read(&c->token, s->watch.view.begun, c->host, c->view_life);
	else
		causality_note_write(&c->token, s->watch.view.begun);
	rest(c);
}

/* Returns true if what is sent behind the question to the standby is run: there was none, or it says that it has
 * replayed the position, which is still one of the log that it replays, for all that is known by then. */
static bool
has_replayed(struct reads_sim *s, struct session *c)
{
	const struct host *h = &s->hosts[c->host];
	struct cluster_view *v = &s->watch.view;
	struct host_view *seen = &v->hosts[c->host];

	if (c->awaited == 0)
		return true;
	if (!h->is_primary && model_position(s, h->at) < c->awaited && c->since + CATCH_UP >= s->step)
		return false;
	if (!h->is_primary && model_position(s, h->at) >= c->awaited && c->token.history == v->history &&
	    v->primary >= 0 && seen->life == c->view_life && seen->is_proved) { /* as in cluster_note_replayed() */
		seen->replayed = c->awaited > seen->replayed ? c->awaited : seen->replayed;
		s->awaited++;
		c->awaited = 0;
		return true;
	}
	s->late++;
	c->wish = WISH_READ_PRIMARY;
	c->state = SESSION_WAITING;
	trace_line("session %u: host %u has not replayed %u", c->number, c->host, (unsigned)c->awaited);
	return false;
}

/* Something of the reply may have come before. */
static void
fail(struct reads_sim *s, struct session *c)
{
	if (c->state == SESSION_ANSWERED && reads_chance(s, 2048))
		bits_unite(&c->set, &c->shown);
	trace_line("session %u: its server has ended", c->number);
	end(s, c);
}

static void
run(struct reads_sim *s, struct session *c)
{
	struct host *h = &s->hosts[c->host];
	static const char *const what[] = { "writes", "reads", "reads" };

	c->shown = model_shows(s, h);
	check_shown(s, c, &c->shown, what[c->wish]);
	c->change = c->wish == WISH_WRITE && h->is_primary ? model_write(s, c->host, true) : CHANGES;
	trace_line("session %u %s on host %u, %u", c->number, what[c->wish], c->host, c->change);
	c->state = c->change < CHANGES ? SESSION_WRITING : SESSION_ANSWERED;
	c->due = s->step + reads_below(s, s->profile.reply_late);
}

static void
write_on(struct reads_sim *s, struct session *c)
{
	if (s->changes[c->change].state != CHANGE_VISIBLE)
		return;
	bits_add(&c->shown, c->change);
	c->state = SESSION_ANSWERED;
	c->due = s->step + reads_below(s, 3);
}

static void
read_answer(struct reads_sim *s, struct session *c)
{
	bits_unite(&c->set, &c->shown);
	s->writes += c->change < CHANGES;
	s->reads += c->change == CHANGES && !c->is_on_standby;
	s->standby_reads += c->is_on_standby;
	if (c->is_on_standby)
		s->served[c->number] |= 1;
	else
		s->served[c->number] |= 2;
	trace_line("session %u has its answer", c->number);
	end(s, c);
}

static void
step(struct reads_sim *s, struct session *c)
{
	const struct host *h = &s->hosts[c->host];

	if (c->state == SESSION_IDLE) {
		if (reads_chance(s, 200))
			give(s, c);
		if (!reads_chance(s, 500))
			return;
		c->wish = c->given != 0 || reads_chance(s, 2048) ? WISH_READ
			  : reads_chance(s, 2048)		 ? WISH_WRITE
								 : WISH_READ_PRIMARY;
		c->host = reads_chance(s, 2048) ? c->token.host : reads_below(s, HOSTS);
		c->since = s->step;
		c->state = SESSION_WAITING;
	}
	if (c->state == SESSION_WAITING)
		look(s, c);
	else if (c->state != SESSION_ANSWERED && (h->life != c->life || !h->is_up))
		fail(s, c);
	else if (c->due > s->step)
		return;
	else if (c->state == SESSION_SENT && has_replayed(s, c))
		run(s, c);
	else if (c->state == SESSION_WRITING)
		write_on(s, c);
	else if (c->state == SESSION_ANSWERED && reads_chance(s, 40)) /* what is on its way comes, even if its host has
								       * ended since */
		fail(s, c);
	else if (c->state == SESSION_ANSWERED)
		read_answer(s, c);
}

void
sessions_step(struct reads_sim *s)
{
	for (unsigned i = 0; i < SESSIONS; i++)
		step(s, &s->sessions[i]);
}

void
sessions_calm(struct reads_sim *s)
{
	memset(s->served, 0, sizeof(s->served));
}

/* Each has read on a standby, and has been on the primary. */
bool
sessions_are_served(const struct reads_sim *s)
{
	for (unsigned i = 0; i < SESSIONS; i++)
		if (s->served[i] != 3)
			return false;
	return true;
}
