/*
 * tests/unit/test_ledger_sim.c - random conversations between a client and a model of PostgreSQL, with the ledger in
 * between.
 *
 * A talk is a list of messages, each with its fate (rows, an error, COPY, ...). The model answers it as PostgreSQL
 * does: one message after the other, an error in the extended protocol skips to Sync, in COPY IN Sync is ignored. It
 * knows nothing of the ledger; for local replies it does what PostgreSQL would have done with the message itself. Then
 * the talk is played, what is sent and what is answered in random turns: the ledger must take each reply, the client
 * must see exactly what it would have seen from PostgreSQL, each ref must end as the model says, and nothing may be
 * owed at the end. A talk with one reply changed must be found out most times. Links only wire/ledger.c.
 */
#include "wire/ledger.h"
#include "unit.h"

#define MESSAGES_MAX 256
#define REPLIES_MAX 2048
#define FATES_MAX 5

/*
 * Types of messages are the protocol's, but for s and p (Describe of a statement, of a portal), U (a Parse of a name
 * that is taken), m and k (Parse and Close that are not sent: their reply is local).
 *
 * Fates: k well; e error; of Query and Execute: r rows, c a command, n empty, s suspended, i COPY IN, x one that fails
 * before it reads, y at the first data, z at its end, o COPY OUT, O one that fails. A Query may have several.
 */
struct message {
	char type;
	char fates[FATES_MAX];
	enum owed_to to;
	int end; /* enum owed_end; -1: nobody asks */
	int got_end, ends; /* as the ledger told, and how often */
};

struct reply {
	char type;
	bool is_news, is_made;
	size_t of; /* the message that is answered */
	size_t since; /* the message that brought it about: not before that was sent */
};

struct talk {
	uint64_t random;
	bool is_doubt_allowed; /* a Sync within a COPY that fails */
	struct message messages[MESSAGES_MAX];
	size_t message_count;
	struct reply replies[REPLIES_MAX];
	size_t reply_count;
	char want[REPLIES_MAX], got[REPLIES_MAX]; /* what the client sees, without news */
	size_t want_len, got_len;
	struct ledger ledger;
};

static unsigned
below(struct talk *t, unsigned n)
{
	t->random ^= t->random << 13;
	t->random ^= t->random >> 7;
	t->random ^= t->random << 17;
	return (unsigned)((t->random >> 11) % n);
}

/* --- The client: what it sends. --- */

static struct message *
say(struct talk *t, char type, const char *fates, enum owed_to to)
{
	struct message *m = &t->messages[t->message_count++];

	cr_assert_lt(t->message_count, MESSAGES_MAX);
	*m = (struct message){ .type = type, .to = to, .end = -1, .got_end = -1 };
	memcpy(m->fates, fates, strlen(fates));
	return m;
}

static const char *
well_or_not(struct talk *t)
{
	return below(t, 12) == 0 ? "e" : "k";
}

/* What belongs to one COPY IN. Only one that goes well may have a Sync in it, unless doubt is allowed. */
static void
say_copy(struct talk *t, char fate)
{
	bool is_failed_by_client = below(t, 5) == 0;
	bool is_sync_allowed = t->is_doubt_allowed || (fate == 'i' && !is_failed_by_client);

	for (unsigned i = below(t, 4); i > 0; i--) {
		if (is_sync_allowed && below(t, 3) == 0)
			say(t, 'S', "k", OWED_TO_CLIENT);
		say(t, 'd', "k", OWED_TO_CLIENT);
	}
	if (is_sync_allowed && below(t, 3) == 0)
		say(t, 'S', "k", OWED_TO_CLIENT);
	say(t, is_failed_by_client ? 'f' : 'c', "k", OWED_TO_CLIENT);
}

static void
say_with_copies(struct talk *t, char type, const char *fates)
{
	say(t, type, fates, OWED_TO_CLIENT);
	for (; *fates != '\0'; fates++)
		if (strchr("ixyz", *fates) != NULL)
			say_copy(t, *fates);
}

static void
say_query(struct talk *t)
{
	static const char fates_of_query[] = "rrrccceixyzoO";
	char fates[FATES_MAX] = "";

	for (unsigned i = 0, n = 1 + below(t, FATES_MAX - 1); i < n; i++)
		fates[i] = fates_of_query[below(t, sizeof(fates_of_query) - 1)];
	say_with_copies(t, 'Q', below(t, 8) == 0 ? "n" : fates);
}

static void
say_execute(struct talk *t)
{
	static const char fates_of_execute[] = "rrrrrcsneixyzoO";
	char fates[FATES_MAX] = { fates_of_execute[below(t, sizeof(fates_of_execute) - 1)] };

	say_with_copies(t, 'E', fates);
}

static void
say_injected(struct talk *t)
{
	if (below(t, 2) == 0) {
		say(t, "PC"[below(t, 2)], well_or_not(t), OWED_TO_STATEMENT);
		return;
	}
	say(t, 'P', well_or_not(t), OWED_TO_GUCS);
	say(t, 'B', well_or_not(t), OWED_TO_GUCS);
	say(t, 'E', below(t, 8) == 0 ? "e" : "r", OWED_TO_GUCS);
	say(t, 'S', "k", OWED_TO_GUCS);
}

static void
say_anything(struct talk *t)
{
	static const char simple[] = "PUBspCFmk";
	unsigned what = below(t, 20);

	if (what < 10) {
		char type = simple[below(t, sizeof(simple) - 1)];

		say(t, type, type == 'm' || type == 'k' ? "k" : well_or_not(t), OWED_TO_CLIENT);
	} else if (what < 13)
		say_execute(t);
	else if (what < 15)
		say_query(t);
	else if (what < 16)
		say_injected(t);
	else
		say(t, 'S', well_or_not(t), OWED_TO_CLIENT);
}

/* --- PostgreSQL: what it answers. --- */

struct backend {
	bool is_skipping;
	bool is_copying;
	size_t copier; /* the message whose COPY IN is open */
	const char *fate; /* the copier's present one, or what is left of a Query's */
};

static void
reply(struct talk *t, char type, size_t of, size_t since)
{
	const struct message *m = &t->messages[of];
	bool is_made = m->type == 'm' || m->type == 'k';

	if (!is_made && below(t, 10) == 0)
		t->replies[t->reply_count++] =
		    (struct reply){ .type = "NSA"[below(t, 3)], .is_news = true, .of = of, .since = since };
	t->replies[t->reply_count++] = (struct reply){ .type = type, .is_made = is_made, .of = of, .since = since };
	cr_assert_lt(t->reply_count, REPLIES_MAX - 2);
	if (m->to == OWED_TO_CLIENT || (m->to == OWED_TO_STATEMENT && type == 'E'))
		t->want[t->want_len++] = type;
}

static void
fail(struct talk *t, struct backend *b, size_t of, size_t since)
{
	struct message *m = &t->messages[of];

	b->is_copying = false;
	reply(t, 'E', of, since);
	m->end = OWED_FAILED;
	if (strchr("QFS", m->type) != NULL)
		reply(t, 'Z', of, since);
	else
		b->is_skipping = true;
}

/* Goes on with what is left of a Query or Execute, until its end or a COPY IN. */
static void
run(struct talk *t, struct backend *b, size_t of, size_t since)
{
	struct message *m = &t->messages[of];

	for (; *b->fate != '\0'; b->fate++) {
		char fate = *b->fate;

		if (m->type == 'Q' && (fate == 'r'))
			reply(t, 'T', of, since);
		if (strchr("rs", fate) != NULL)
			for (unsigned rows = below(t, 4); rows > 0; rows--)
				reply(t, 'D', of, since);
		if (strchr("oO", fate) != NULL) {
			reply(t, 'H', of, since);
			for (unsigned rows = below(t, 4); rows > 0; rows--)
				reply(t, 'd', of, since);
		}
		if (fate == 'o')
			reply(t, 'c', of, since);
		if (strchr("eO", fate) != NULL) {
			fail(t, b, of, since);
			return;
		}
		if (strchr("ixyz", fate) != NULL) {
			reply(t, 'G', of, since);
			b->is_copying = true;
			b->copier = of;
			if (fate == 'x')
				fail(t, b, of, since);
			return;
		}
		reply(t, fate == 'n' ? 'I' : fate == 's' ? 's' : 'C', of, since);
	}
	m->end = OWED_ANSWERED;
	if (m->type == 'Q')
		reply(t, 'Z', of, since);
}

static void
read_in_copy(struct talk *t, struct backend *b, size_t i)
{
	char type = t->messages[i].type;

	cr_assert(strchr("dcfS", type) != NULL, "the talk is one that PostgreSQL survives");
	if (type == 'f' || (type == 'd' && *b->fate == 'y') || (type == 'c' && strchr("yz", *b->fate) != NULL))
		fail(t, b, b->copier, i);
	else if (type == 'c') {
		b->is_copying = false;
		reply(t, 'C', b->copier, i);
		b->fate++;
		run(t, b, b->copier, i);
	}
}

static void
answer(struct talk *t, struct backend *b, size_t i)
{
	struct message *m = &t->messages[i];

	if (m->fates[0] == 'e' && m->type != 'Q' && m->type != 'E') {
		if (m->type == 's' && below(t, 2) == 0)
			reply(t, 't', i, i);
		fail(t, b, i, i);
		return;
	}
	m->end = OWED_ANSWERED;
	switch (m->type) {
	case 'Q':
	case 'E':
		b->fate = m->fates;
		run(t, b, i, i);
		break;
	case 'F':
		reply(t, 'V', i, i);
		reply(t, 'Z', i, i);
		break;
	case 'S':
		reply(t, 'Z', i, i);
		break;
	case 'P':
	case 'U':
	case 'm':
		reply(t, '1', i, i);
		break;
	case 'B':
		reply(t, '2', i, i);
		break;
	case 'C':
	case 'k':
		reply(t, '3', i, i);
		break;
	case 's':
		reply(t, 't', i, i);
		reply(t, "Tn"[below(t, 2)], i, i);
		break;
	case 'p':
		reply(t, "Tn"[below(t, 2)], i, i);
		break;
	default:
		break; /* what belongs to a COPY that is over */
	}
}

static void
read_all(struct talk *t)
{
	struct backend b = { 0 };

	for (size_t i = 0; i < t->message_count; i++) {
		t->messages[i].end = OWED_SKIPPED;
		if (b.is_copying) {
			read_in_copy(t, &b, i);
			continue;
		}
		if (b.is_skipping && t->messages[i].type != 'S')
			continue;
		b.is_skipping = false;
		answer(t, &b, i);
	}
	cr_assert(!b.is_copying && !b.is_skipping, "the last Sync ends everything");
}

/* --- The ledger between them. --- */

static void
see(struct talk *t, char type)
{
	t->got[t->got_len++] = type;
	cr_assert_lt(t->got_len, REPLIES_MAX);
}

static void
on_settled(void *arg, const struct owed *o, enum owed_end how)
{
	struct message *m = o->ref;

	m->got_end = (int)how;
	m->ends++;
}

static void
on_local(void *arg, const struct owed *o)
{
	see(arg, o->kind == OWED_LOCAL_PARSE ? '1' : '3');
}

static const struct ledger_ops ops = { on_settled, on_local, NULL };

static void
send_message(struct talk *t, struct message *m)
{
	static const char types[] = "QEFPUBspCSfmk"; /* in the order of enum owed_kind; f stands for c, too */
	struct owed_request request = { 0 };

	if (m->type == 'd')
		return;
	if (strchr("QFS", m->type) != NULL)
		ledger_push_request(&t->ledger, (enum owed_kind)(strchr(types, m->type) - types), m->to, &request);
	else if (m->type == 'c' || m->type == 'f')
		ledger_push(&t->ledger, OWED_COPY_END, m->to, NULL);
	else
		ledger_push(&t->ledger, (enum owed_kind)(strchr(types, m->type) - types), m->to, m);
}

static bool
receive_reply(struct talk *t, const struct reply *r)
{
	struct owed ended;
	bool is_end;
	enum ledger_verdict v;

	if (r->is_made)
		return true;
	v = ledger_receive(&t->ledger, (uint8_t)r->type, &ended, &is_end);
	if (v == LEDGER_VIOLATION)
		return false;
	if (r->is_news) {
		bool is_passed = r->type == 'A' || t->messages[r->of].to == OWED_TO_CLIENT;

		if ((v == LEDGER_PASS) != is_passed)
			return false;
	} else if (v == LEDGER_PASS)
		see(t, r->type);
	ledger_advance(&t->ledger);
	return true;
}

/* False: the ledger found a reply that was not owed. */
static bool
play(struct talk *t)
{
	unsigned eagerness = below(t, 11);
	size_t sent = 0, received = 0;

	ledger_init(&t->ledger, &ops, t);
	while (sent < t->message_count || received < t->reply_count) {
		bool may_receive = received < t->reply_count && t->replies[received].since < sent;

		if (sent < t->message_count && (!may_receive || below(t, 10) < eagerness))
			send_message(t, &t->messages[sent++]);
		else if (!receive_reply(t, &t->replies[received++]))
			return false;
	}
	return true;
}

static bool
is_right(const struct talk *t)
{
	if (t->ledger.count > 0 || t->ledger.intake == INTAKE_SYNC ||
	    (t->ledger.copy != COPY_NONE && t->ledger.copy != COPY_FAILED))
		return false;
	if (t->got_len != t->want_len || memcmp(t->got, t->want, t->got_len) != 0)
		return false;
	for (size_t i = 0; i < t->message_count; i++) {
		const struct message *m = &t->messages[i];

		if (strchr("QFSdcf", m->type) == NULL && (m->ends != 1 || m->got_end != m->end))
			return false;
	}
	return true;
}

static void
begin_talk(struct talk *t, unsigned seed, bool is_doubt_allowed)
{
	memset(t, 0, sizeof(*t));
	t->random = 0x9e3779b97f4a7c15ull * (seed + 1);
	t->is_doubt_allowed = is_doubt_allowed;
	for (unsigned i = 1 + below(t, 25); i > 0; i--)
		say_anything(t);
	say(t, 'S', "k", OWED_TO_CLIENT);
	read_all(t);
}

static void
end_talk(struct talk *t, unsigned seed)
{
	ledger_fini(&t->ledger);
	for (size_t i = 0; i < t->message_count; i++)
		cr_assert_leq(t->messages[i].ends, 1, "talk %u: each ref is settled once", seed);
}

Test(ledger_sim, what_postgresql_says_is_what_is_owed)
{
	struct talk t;
	size_t replies = 0;

	for (unsigned seed = 0; seed < 20000; seed++) {
		begin_talk(&t, seed, false);
		cr_assert(play(&t), "talk %u: a violation", seed);
		cr_assert(is_right(&t), "talk %u: %u owed; the client saw %.*s, not %.*s", seed, t.ledger.count,
			  (int)t.got_len, t.got, (int)t.want_len, t.want);
		cr_assert(t.ledger.trust == LEDGER_SYNCHRONISED, "talk %u", seed);
		replies += t.reply_count;
		end_talk(&t, seed);
	}
	cr_expect_gt(replies, 200000, "the talks are worth it");
}

Test(ledger_sim, where_a_failed_copy_had_a_sync_the_ledger_is_right_or_in_doubt)
{
	struct talk t;
	unsigned wrong = 0, doubtful = 0;

	for (unsigned seed = 0; seed < 20000; seed++) {
		bool is_taken;

		begin_talk(&t, seed, true);
		is_taken = play(&t);
		if (!is_taken || !is_right(&t)) {
			cr_assert(t.ledger.trust != LEDGER_SYNCHRONISED, "talk %u: wrong, and sure of it", seed);
			wrong++;
		}
		doubtful += t.ledger.trust != LEDGER_SYNCHRONISED;
		end_talk(&t, seed);
	}
	cr_expect_gt(wrong, 100, "such talks did happen: %u", wrong);
	cr_expect_lt(doubtful, 8000, "nor is everything in doubt: %u", doubtful);
}

/* Errors, news and rows are legal nearly everywhere: those are not the ones that are changed. */
static bool
change_a_reply(struct talk *t)
{
	static const char types[] = "123tTnCIsGHZVdc";
	size_t at = below(t, (unsigned)t->reply_count);
	struct reply *r = &t->replies[at];
	char was = r->type;

	if (r->is_news || r->is_made || strchr(types, r->type) == NULL)
		return false;
	switch (below(t, 3)) {
	case 0:
		r->type = types[below(t, sizeof(types) - 1)];
		return r->type != was;
	case 1: /* lost */
		memmove(r, r + 1, (t->reply_count - at - 1) * sizeof(*r));
		t->reply_count--;
		return true;
	default: /* twice */
		memmove(r + 1, r, (t->reply_count - at) * sizeof(*r));
		t->reply_count++;
		return true;
	}
}

Test(ledger_sim, a_wrong_reply_is_found_out_most_times)
{
	struct talk t;
	unsigned changed = 0, found = 0;

	for (unsigned seed = 0; seed < 20000; seed++) {
		begin_talk(&t, seed, false);
		if (!change_a_reply(&t))
			continue;
		changed++;
		found += !play(&t) || t.ledger.count > 0 || t.ledger.intake == INTAKE_SYNC;
		end_talk(&t, seed);
	}
	cr_expect_gt(changed, 5000);
	cr_expect_gt(found, changed / 4 * 3, "%u of %u", found, changed);
}
