/* tests/sim/reads_model.c - see reads_sim.h. */
#include "reads_sim.h"

#include <stdlib.h>
#include <string.h>

/* --- sets of changes --- */

void
bits_unite(struct bits *b, const struct bits *with)
{
	for (unsigned i = 0; i < CHANGES / 64; i++)
		b->word[i] |= with->word[i];
}

struct bits
bits_without(const struct bits *a, const struct bits *b)
{
	struct bits left;

	for (unsigned i = 0; i < CHANGES / 64; i++)
		left.word[i] = a->word[i] & ~b->word[i];
	return left;
}

bool
bits_is_empty(const struct bits *b)
{
	for (unsigned i = 0; i < CHANGES / 64; i++)
		if (b->word[i] != 0)
			return false;
	return true;
}

/* --- the log --- */

uint64_t
model_position(const struct reads_sim *s, uint32_t record)
{
	return s->records[record].position;
}

bool
model_has(const struct reads_sim *s, uint32_t record, uint32_t earlier)
{
	while (model_position(s, record) > model_position(s, earlier))
		record = s->records[record].parent;
	return record == earlier;
}

uint32_t
model_common(const struct reads_sim *s, uint32_t a, uint32_t b)
{
	while (a != b) {
		if (model_position(s, a) >= model_position(s, b))
			a = s->records[a].parent;
		else
			b = s->records[b].parent;
	}
	return a;
}

bool
model_has_ended(const struct reads_sim *s, uint32_t record, uint64_t xid)
{
	for (unsigned i = 0; i < s->change_count; i++)
		if (s->changes[i].xid == xid && bits_has(&s->records[record].ended, i))
			return true;
	return false;
}

/* Returns the new record at the end of the host's log; it says no more than the one before. */
static struct record *
insert(struct reads_sim *s, struct host *h)
{
	struct record *r = &s->records[s->record_count];

	*r = s->records[h->at];
	r->parent = h->at;
	r->position += 8 + 8 * reads_below(s, 4);
	h->at = s->heads[h->life] = s->record_count++;
	return r;
}

static bool
has_room(const struct reads_sim *s)
{
	return s->change_count < CHANGES && s->life_count + 8 < LIVES;
}

/* --- transactions --- */

struct bits
model_shows(const struct reads_sim *s, const struct host *h)
{
	return h->is_primary ? h->visible : s->records[h->at].commits;
}

static void
note_ended(uint64_t *xmax, uint64_t xid)
{
	*xmax = xid >= *xmax ? xid + 1 : *xmax;
}

unsigned
model_write(struct reads_sim *s, unsigned host, bool is_session)
{
	struct host *h = &s->hosts[host];
	struct change *c = &s->changes[s->change_count];

	if (!has_room(s))
		return CHANGES;
	*c = (struct change){ .state = CHANGE_RUNNING, .xid = h->next++, .host = host, .life = h->life };
	c->is_session = is_session;
	c->is_async = s->profile.has_async && reads_chance(s, 1024);
	c->due = s->step + reads_below(s, reads_chance(s, 400) ? 300 : 12);
	if (reads_chance(s, 3000)) /* else its commit is the first thing that the log has of it */
		insert(s, h)->next = h->next;
	return s->change_count++;
}

static void
write_end(struct reads_sim *s, unsigned n)
{
	struct change *c = &s->changes[n];
	struct host *h = &s->hosts[c->host];
	bool is_commit = c->is_session || reads_chance(s, 3300);
	struct record *r = insert(s, h);

	r->next = c->xid >= r->next ? c->xid + 1 : r->next;
	note_ended(&r->xmax, c->xid);
	bits_add(&r->ended, n);
	c->record = h->at;
	c->state = is_commit ? CHANGE_WRITTEN : CHANGE_OVER;
	c->due = s->step + reads_below(s, reads_chance(s, 2048) ? 1 + s->profile.visible_late : 3);
	if (is_commit)
		bits_add(&r->commits, n);
	else
		note_ended(&h->xmax, c->xid);
	trace_line("host %u: %u (xid %u) %s at %u", c->host, n, (unsigned)c->xid, is_commit ? "is written" : "aborts",
		   (unsigned)r->position);
}

static void
go_on(struct reads_sim *s, unsigned n)
{
	struct change *c = &s->changes[n];
	struct host *h = &s->hosts[c->host];

	if (c->state != CHANGE_RUNNING && c->state != CHANGE_WRITTEN)
		return;
	if (h->life != c->life || !h->is_up) {
		c->state = CHANGE_OVER;
	} else if (c->due > s->step) {
		return;
	} else if (c->state == CHANGE_RUNNING) {
		write_end(s, n);
	} else if (c->is_async || model_position(s, h->flushed) >= model_position(s, c->record)) {
		c->state = CHANGE_VISIBLE;
		bits_add(&h->visible, n);
		note_ended(&h->xmax, c->xid);
		trace_line("host %u: %u is visible", c->host, n);
	}
}

/* --- lives --- */

static void
become_primary(struct reads_sim *s, struct host *h)
{
	h->is_primary = true;
	h->visible = s->records[h->at].commits;
	h->next = h->xmax = s->records[h->at].next;
	h->flushed = s->heads[h->life] = h->at;
}

static void
begin_life(struct reads_sim *s, struct host *h)
{
	h->life = ++s->life_count;
	h->is_up = false;
	h->is_paused = false;
	h->due = s->step + 1 + reads_below(s, s->profile.down);
	s->heads[h->life] = h->at;
}

static void
crash_standby(struct reads_sim *s, unsigned n)
{
	struct host *h = &s->hosts[n];
	unsigned back = reads_below(s, 12);

	while (back-- > 0 && h->at != 0)
		h->at = s->records[h->at].parent;
	begin_life(s, h);
	h->is_paused = reads_chance(s, 2048);
	trace_line("host %u crashes: replay begins at %u", n, (unsigned)model_position(s, h->at));
}

static void
restart_primary(struct reads_sim *s, unsigned n)
{
	struct host *h = &s->hosts[n];
	bool is_clean = reads_chance(s, 1500);

	if (is_clean)
		h->flushed = h->at;
	h->at = h->flushed;
	begin_life(s, h);
	become_primary(s, h);
	trace_line("host %u, a primary, %s: its log ends at %u", n, is_clean ? "restarts" : "crashes",
		   (unsigned)model_position(s, h->at));
}

/* Becomes a standby of the newest primary, from a copy of that. */
static void
rebuild(struct reads_sim *s, unsigned n)
{
	struct host *h = &s->hosts[n];

	h->is_primary = false;
	h->source = s->newest;
	h->at = h->flushed = s->hosts[s->newest].flushed;
	begin_life(s, h);
	trace_line("host %u is a copy of host %u", n, s->newest);
}

static void
promote(struct reads_sim *s, unsigned n)
{
	struct host *h = &s->hosts[n];

	h->at = h->flushed;
	become_primary(s, h);
	insert(s, h);
	h->flushed = h->at;
	h->timeline = s->hosts[s->newest].timeline + 1;
	trace_line("host %u is promoted at %u; host %u has come to %u", n, (unsigned)model_position(s, h->at),
		   s->newest, (unsigned)model_position(s, s->hosts[s->newest].at));
	if (reads_chance(s, 1500))
		rebuild(s, s->newest); /* at the latest now it is gone */
	s->newest = n;
}

/* --- replication --- */

static void
follow(struct reads_sim *s, unsigned n)
{
	struct host *h = &s->hosts[n], *newest = &s->hosts[s->newest];

	if (!model_has(s, newest->at, h->at)) {
		rebuild(s, n);
		return;
	}
	h->source = s->newest;
	if (!model_has(s, newest->at, h->flushed))
		h->flushed = h->at;
	trace_line("host %u follows host %u", n, s->newest);
	watch_left(s, n);
}

static void
receive(struct reads_sim *s, struct host *h)
{
	const struct host *from = &s->hosts[h->source];

	if (from->is_up && from->is_primary && model_has(s, from->flushed, h->flushed))
		h->flushed = from->flushed;
}

static void
replay(struct reads_sim *s, struct host *h)
{
	uint32_t next = h->flushed;

	if (h->at == h->flushed || h->is_paused)
		return;
	while (s->records[next].parent != h->at)
		next = s->records[next].parent;
	h->at = next;
}

static void
standby_step(struct reads_sim *s, unsigned n)
{
	struct host *h = &s->hosts[n];
	const struct profile *f = &s->profile;

	if (reads_chance(s, 80) && (h->source != s->newest || !model_has(s, s->hosts[s->newest].at, h->flushed))) {
		follow(s, n);
		return;
	}
	if (reads_chance(s, 2048))
		receive(s, h);
	while (!reads_chance(s, f->lag) && h->at != h->flushed && !h->is_paused)
		replay(s, h);
	if (reads_chance(s, h->is_paused ? 100 : f->pausing))
		h->is_paused = !h->is_paused && !s->is_calm;
	if (reads_chance(s, f->crashing))
		crash_standby(s, n);
	else if (h->source == s->newest && h->is_up && reads_chance(s, f->promoting))
		promote(s, n);
}

static void
primary_step(struct reads_sim *s, unsigned n)
{
	struct host *h = &s->hosts[n];
	const struct profile *f = &s->profile;

	if (reads_chance(s, 2500))
		h->flushed = h->at;
	if (reads_chance(s, f->commits))
		model_write(s, n, false);
	if (n != s->newest && reads_chance(s, 60))
		rebuild(s, n);
	else if (reads_chance(s, f->restarting))
		restart_primary(s, n);
}

void
model_calm(struct reads_sim *s)
{
	struct profile *f = &s->profile;

	f->crashing = f->restarting = f->promoting = f->pausing = f->away = 0;
	f->noticing = 300;
	f->lag = 1024;
	f->reply_late = 4;
	f->commits = 200;
	for (unsigned i = 0; i < HOSTS; i++) {
		f->asking[i] = 800;
		s->hosts[i].is_paused = false;
	}
}

void
model_step(struct reads_sim *s)
{
	if (!has_room(s) && s->profile.crashing + s->profile.restarting + s->profile.promoting > 0)
		model_calm(s);
	for (unsigned i = 0; i < HOSTS; i++) {
		struct host *h = &s->hosts[i];

		if (!h->is_up)
			h->is_up = h->due <= s->step;
		else if (h->is_primary)
			primary_step(s, i);
		else
			standby_step(s, i);
	}
	for (unsigned i = 0; i < s->change_count; i++)
		go_on(s, i);
}

void
model_begin(struct reads_sim *s)
{
	s->records[0] = (struct record){ .position = 1000, .next = 100, .xmax = 100 };
	s->record_count = 1;
	for (unsigned i = 0; i < HOSTS; i++) {
		s->hosts[i] = (struct host){ .is_up = true, .life = ++s->life_count, .timeline = 1 };
		s->heads[s->hosts[i].life] = 0;
	}
	become_primary(s, &s->hosts[0]);
}
