/*
 * tests/unit/test_ledger.c - what a server owes: each story is a line of text, each violation a cell of a table. Links
 * only wire/ledger.c.
 *
 * A story is a row of words. ">X" pushes (Q query, F function, P Parse, U duplicate Parse, B Bind, s Describe of a
 * statement, p of a portal, E Execute, C Close, S Sync, c CopyDone, m local Parse, k local Close; a following ! makes
 * it our own, a following ^ one that is injected for a statement); a bare letter is a type received and passed, -X one
 * received and swallowed, !X a violation. "=n" says how many are owed then, "#n" how many messages of the client's were
 * answered since the last ReadyForQuery. "@" takes the Sync over, "!@" can't, "%" swallows the types of the last
 * Describe. After each word local replies are given.
 *
 * All that became of the entries is written down: +X answered, xX failed, ~X skipped, *X sent by pgweir; X as above.
 */
#include "wire/ledger.h"
#include "unit.h"

static const char kinds[] = "QEFPUBspCScmk"; /* in the order of enum owed_kind */

struct story {
	struct ledger ledger;
	char refs[64]; /* an entry's ref is the place of its kind's letter here */
	size_t ref_count;
	char log[512];
};

static void
note(struct story *s, char how, const struct owed *o)
{
	size_t len = strlen(s->log);

	cr_assert_lt(len + 4, sizeof(s->log));
	snprintf(s->log + len, sizeof(s->log) - len, "%s%c%c", len > 0 ? " " : "", how, kinds[o->kind]);
}

static void
on_settled(void *arg, const struct owed *o, enum owed_end how)
{
	char *ref = o->ref;

	cr_assert_eq(*ref, kinds[o->kind], "settled once, as what it was pushed");
	*ref = 0;
	note(arg, "+x~"[how], o);
}

static void
on_local(void *arg, const struct owed *o)
{
	note(arg, '*', o);
}

static const struct ledger_ops ops = { on_settled, on_local, NULL };

static void
push(struct story *s, const char *word)
{
	enum owed_kind kind = (enum owed_kind)(strchr(kinds, word[0]) - kinds);
	enum owed_to to = word[1] == '!' ? OWED_TO_GUCS : word[1] == '^' ? OWED_TO_STATEMENT : OWED_TO_CLIENT;

	cr_assert_lt(s->ref_count, sizeof(s->refs));
	if (kind == OWED_QUERY || kind == OWED_FUNCTION || kind == OWED_SYNC) {
		struct owed_request request = { 1000 + s->ref_count, 3, 0 };

		ledger_push_request(&s->ledger, kind, to, &request);
		return;
	}
	s->refs[s->ref_count] = kind == OWED_COPY_END ? 0 : word[0];
	ledger_push(&s->ledger, kind, to, kind == OWED_COPY_END ? NULL : &s->refs[s->ref_count++]);
}

static void
receive(struct story *s, const char *word, const char *rule)
{
	bool is_marked = word[0] == '-' || (word[0] == '!' && word[1] != 0);
	uint8_t type = (uint8_t)word[is_marked ? 1 : 0];
	enum ledger_verdict want = !is_marked ? LEDGER_PASS : word[0] == '-' ? LEDGER_SWALLOW : LEDGER_VIOLATION;
	struct owed ended;
	bool is_end;

	cr_expect_eq(ledger_receive(&s->ledger, type, &ended, &is_end), want, "%s: at %s", rule, word);
	cr_expect_eq(is_end, type == 'Z' && want != LEDGER_VIOLATION, "%s: at %s", rule, word);
	if (is_end && ended.started_us > 0) /* else it is a Sync within a COPY */
		cr_expect_eq(ended.statements, 3, "%s: the request comes back", rule);
}

static void
tell(struct story *s, const char *text, const char *rule)
{
	char copy[256], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *word = strtok_r(copy, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
		if (word[0] == '>')
			push(s, word + 1);
		else if (word[0] == '=')
			cr_expect_eq(s->ledger.count, (uint32_t)atoi(word + 1), "%s: %u owed at %s", rule,
				     s->ledger.count, word);
		else if (word[0] == '#')
			cr_expect_eq(s->ledger.answered, (uint32_t)atoi(word + 1), "%s: %u answered at %s", rule,
				     s->ledger.answered, word);
		else if (strchr(word, '@') != NULL)
			cr_expect_eq(ledger_swallow_ready(&s->ledger), word[0] == '@', "%s: at %s", rule, word);
		else if (word[0] == '%')
			ledger_swallow_types(&s->ledger);
		else
			receive(s, word, rule);
		ledger_advance(&s->ledger);
	}
}

static const struct {
	const char *rule, *story, *log;
} rows[] = {
	/* Simple queries. */
	{ "a simple query", ">Q T D D C Z =0", "" },
	{ "several statements in one", ">Q T D C C T C Z =0", "" },
	{ "an empty one", ">Q I Z =0", "" },
	{ "one that fails", ">Q E Z =0", "" },
	{ "one that fails in its second statement", ">Q T D C E Z =0", "" },
	{ "one that fails at its end", ">Q T C E Z =0", "" },
	{ "two that were sent at once", ">Q >Q T C Z =1 T C Z =0", "" },
	{ "an error ends one query, not the next", ">Q >Q E Z T C Z =0", "" },
	{ "our own query's answers are not for the client", ">Q! -T -D -C -Z =0", "" },
	{ "nor are its errors", ">Q! -E -Z =0", "" },
	/* The extended protocol. */
	{ "parse, bind, describe, execute, sync", ">P >B >p >E >S 1 2 T D C Z =0", "+P +B +p +E" },
	{ "replies come before the Sync is sent", ">P >B >E 1 2 D C =0 >S Z =0", "+P +B +E" },
	{ "describing a statement has two answers", ">s >S t T Z =0", "+s" },
	{ "or NoData as the second", ">s >S t n Z =0", "+s" },
	{ "describing a portal that gives nothing", ">p >S n Z =0", "+p" },
	{ "a suspended portal goes on with the next Execute", ">E >E >S D s D C Z =0", "+E +E" },
	{ "an empty statement", ">P >B >E >S 1 2 I Z =0", "+P +B +E" },
	{ "closing", ">C >S 3 Z =0", "+C" },
	{ "a duplicate Parse that is well all the same", ">U >S 1 Z =0", "+U" },
	{ "a duplicate Parse that is refused", ">U >B >S E Z =0", "xU ~B" },
	{ "a Sync alone", ">S Z =0", "" },
	{ "two Syncs", ">S >S Z Z =0", "" },
	{ "a deferred constraint fails at the Sync", ">E >S C E Z =0", "+E" },
	{ "an Execute fails after rows", ">E >S D D E Z =0", "xE" },
	{ "what is injected is swallowed, the client's passed", ">P! >B! >E! >S! >P >S -1 -2 -D -C -Z 1 Z =0",
	  "+P +B +E +P" },
	{ "a statement that can't be prepared anew is the client's failure", ">P^ >B >E >S E Z =0", "xP ~B ~E" },
	{ "but that it was prepared is not its business", ">P^ >B >S -1 2 Z =0", "+P +B" },
	{ "an image that can't be set is ours", ">P! >B! >E! >S! >Q -E -Z T C Z =0", "xP ~B ~E" },
	/* Function calls. */
	{ "a function call", ">F V Z =0", "" },
	{ "one that fails", ">F E Z =0", "" },
	/* Errors skip to Sync. */
	{ "an error skips what follows, but not the next request", ">P >B >E >S >P >S E Z 1 Z =0", "xP ~B ~E +P" },
	{ "a simple query behind it is skipped, too", ">P >Q >S E Z =0", "xP" },
	{ "and a function call", ">P >F >B >S E Z =0", "xP ~B" },
	{ "an error with no Sync yet skips what is sent later", ">P E =0 >B >E >Q =0 >S =1 Z =0", "xP ~B ~E" },
	{ "skipping ends with that Sync", ">P E >S >B Z 2 =0", "xP +B" },
	{ "a local reply is skipped then, too", ">P E >m >k >S Z >m =0", "xP ~m ~k *m +m" },
	{ "an error in the middle", ">P >B >E >B >E >S 1 2 C E Z =0", "+P +B +E xB ~E" },
	{ "a description that is cut by an error", ">s >B >S t E Z =0", "xs ~B" },
	/* Made replies. */
	{ "with nothing owed a local reply comes at once", ">m =0 >k =0", "*m +m *k +k" },
	{ "it waits for its turn", ">P >m >B >k >S 1 2 Z =0", "+P *m +m +B *k +k" },
	{ "several in a row", ">B >m >m >k >S 2 Z =0", "+B *m +m *m +m *k +k" },
	{ "behind a Sync", ">S >m Z =0", "*m +m" },
	{ "an error before them takes them along", ">P >m >k >S E Z =0", "xP ~m ~k" },
	{ "an error behind them does not", ">B >m >B >S 2 E Z =0", "+B *m +m xB" },
	/* A request that is sent once more. */
	{ "its Sync is taken over when nothing else is owed", ">B >E >S E @ -Z =0", "xB ~E" },
	{ "an error at that Sync is the client's", ">B >S E @ E -Z =0", "xB" },
	{ "not while another request is owed", ">B >S >B >S E !@ Z 2 Z =0", "xB +B" },
	{ "not while a message is", ">B >E >S 2 !@ C Z =0", "+B +E" },
	{ "not if it is not sent yet", ">B E !@ >S Z =0", "xB" },
	{ "not twice", ">B >S E @ !@ -Z =0", "xB" },
	{ "a simple query has none", ">Q E !@ Z =0", "" },
	{ "what was answered before it is counted", ">B >E >B >S #0 2 #1 D C #2 E #2 Z #0 =0", "+B +E xB" },
	{ "what is ours or local is not", ">P^ >m >B >S -1 #0 2 #1 Z #0 =0", "+P *m +m +B" },
	{ "its own ParameterDescription is half an answer", ">s >S t #0 E Z =0", "xs" },
	{ "which is swallowed the second time", ">s >S t E @ -Z >s % >B >S -t T #1 2 Z =0", "xs +s +B" },
	{ "for that Describe alone", ">s % >s >S -t n t T Z =0", "+s +s" },
	/* COPY in a simple query. */
	{ "COPY IN", ">Q G >c C Z =0", "" },
	{ "CopyDone was sent ahead", ">Q >c G C Z =0", "" },
	{ "the next query was, too", ">Q >c >Q G C Z =1 T C Z =0", "" },
	{ "several COPY in one query", ">Q G >c C G >c C H d c C Z =0", "" },
	{ "all of them sent ahead", ">Q >c >c >Q G C G C Z =1 T C Z =0", "" },
	{ "a statement before the COPY leaves its CopyDone alone", ">Q >c T D C =2 G C =1 Z =0", "" },
	{ "a COPY that fails by itself, CopyDone comes late", ">Q G E >c Z =0", "" },
	{ "later still", ">Q G E Z >c =0 >Q T C Z =0", "" },
	{ "a COPY that fails at CopyDone", ">Q G >c E Z =0", "" },
	{ "CopyDone ahead of a query that is no COPY", ">Q >c >Q E Z =1 T C Z =0", "" },
	{ "the second of two COPY fails", ">Q >c >c >Q G C G E Z =1 C Z =0", "" },
	{ "the first of two fails: the second's CopyDone is spent as well", ">Q >c >c >Q G E Z =1 C Z =0", "" },
	{ "a Sync within the COPY is never answered", ">Q G >S =1 >c C Z =0", "" },
	{ "nor is one that was sent before we knew", ">Q >S >S >c >S G C Z =1 Z =0", "" },
	{ "a Sync in the second of two COPY", ">Q >c >S >c G C =3 G =2 C Z =0", "" },
	{ "COPY OUT", ">Q H d d c C Z =0", "" },
	{ "COPY OUT that fails", ">Q H d E Z =0", "" },
	{ "two COPY OUT", ">Q H d c C H d c C Z =0", "" },
	/* COPY in the extended protocol. */
	{ "COPY IN by Execute", ">P >B >E 1 2 G >c >S C Z =0", "+P +B +E" },
	{ "Sync before CopyInResponse has come", ">B >E >S 2 G =1 >c >S C Z =0", "+B +E" },
	{ "Sync after it, before CopyDone", ">E G >S =1 >c >S C Z =0", "+E" },
	{ "all at once", ">E >S >c >S >B >S G =5 C Z 2 Z =0", "+E +B" },
	{ "a COPY that was skipped: its first Sync counts", ">B >E >S >c >S E Z Z =0", "xB ~E" },
	{ "a COPY that fails, Sync later", ">E G E =0 >c >S =1 Z =0", "xE" },
	{ "CopyDone on its way when it fails", ">E G >c E >S Z =0", "xE" },
	{ "CopyFail and Sync", ">E G >c >S E Z =0", "xE" },
	{ "COPY OUT by Execute", ">E >S H d c C Z =0", "+E" },
	{ "CopyDone with nothing owed is nothing", ">c =0 >Q C Z =0", "" },
	{ "CopyDone behind something", ">B >c >S 2 =1 Z =0", "+B" },
	/* News. */
	{ "news with nothing owed are for whoever is there", "N S A", "" },
	{ "an error with nothing owed: the server is going", "E =0", "" },
	{ "news in the middle of anything", ">P >s >E >S N S A 1 N t N S A T A D N C S Z =0", "+P +s +E" },
	{ "news that our own query causes are ours, notifications are not", ">Q! -N -S A -C -N A -Z =0", "" },
	{ "news in COPY", ">Q G N S A >c N C Z =0", "" },
};

Test(ledger, stories)
{
	EACH(row, rows) {
		struct story s = { 0 };

		ledger_init(&s.ledger, &ops, &s);
		tell(&s, row->story, row->rule);
		cr_expect_str_eq(s.log, row->log, "%s: %s", row->rule, s.log);
		for (size_t r = 0; r < s.ref_count; r++)
			cr_expect_eq(s.refs[r], 0, "%s: %c was never settled", row->rule, s.refs[r]);
		cr_expect_eq(s.ledger.trust, LEDGER_SYNCHRONISED, "%s", row->rule);
		ledger_fini(&s.ledger);
	}
}

/*
 * Was the Sync read before the COPY failed (then it was ignored) or after (then it is answered)? What comes next tells:
 * "COPY view FROM STDIN" fails before it reads anything, bad data after. What stands between CopyDone and the next Sync
 * is skipped in one case alone.
 */
static const struct {
	const char *rule, *story;
	bool is_unsynchronised;
} doubt_rows[] = {
	{ "no Sync within the COPY", ">E G E >c >S Z", false },
	{ "a Sync before CopyInResponse", ">E >S G E Z =0 !Z", false },
	{ "which was ignored", ">E >S G E >c >S =1 Z =0", false },
	{ "a Sync after it", ">E G >S E Z =0 !Z", false },
	{ "CopyDone and its Sync were sent, too", ">E >S G >c >S E Z =0 Z =0 !Z", false },
	{ "they come after the first answer", ">E >S G E Z >c >S Z =0 !Z", false },
	{ "the same, all at once", ">E >S >c >S G E Z =0 Z =0 !Z", false },
	{ "a Sync within the COPY of a simple query", ">Q G >S E Z =0 Z =0 !Z", false },
	{ "with its CopyDone", ">Q G >S >c E Z =0 Z =0 !Z", false },
	{ "two Syncs, one of them read before", ">Q G >S >S E Z Z >Q T C Z =0 !Z", false },
	{ "the next query was sent before the answers came", ">Q G >S >S E >Q Z Z Z =1 T C Z =0 !Z", false },
	{ "the next query's answer ends it", ">Q G >S E Z >Q T C Z =0 !Z", false },
	{ "an error may be anybody's", ">Q G >S E Z >Q E Z =0 !Z", true },
	{ "or that of our own Close", ">E >S G >c >S E Z >C! >S! Z -3 -Z =0 !Z", false },
	{ "which has nothing ahead of it", ">E >S G >c >S E Z >C! >S! -3 -Z =0 !Z", false },
	{ "a Parse behind CopyDone is skipped or not", ">E >S G >c >P >S E Z", true },
	{ "a Parse behind the failure, too", ">E >S G E >P >S Z", true },
	{ "it went well: the Sync was read", ">E >S G >c >S C Z", false },
	{ "the COPY went well, an Execute behind it fails", ">E >S >c >E >S G C E Z", false },
	{ "the first COPY of two had a Sync and went well", ">Q >S >c >c G C G E Z", false },
	{ "a query's error long after its COPY", ">Q G >S >c C E Z", false },
};

Test(ledger, a_failed_copy_with_a_sync_in_it_leaves_doubt)
{
	EACH(row, doubt_rows) {
		struct story s = { 0 };

		ledger_init(&s.ledger, &ops, &s);
		tell(&s, row->story, row->rule);
		cr_expect_eq(s.ledger.trust != LEDGER_SYNCHRONISED, row->is_unsynchronised, "%s", row->rule);
		ledger_fini(&s.ledger);
	}
}

/* --- What may come when. --- */

/* The story leads to a state; there each type is passed when it is among good, a violation when not. */
static const struct {
	const char *state, *story, *good;
} state_rows[] = {
	{ "nothing owed", "", "ENSA" },
	{ "while skipping", ">P E", "ENSA" },
	{ "a query", ">Q", "ENSATDCIGHZ" },
	{ "a query's rows", ">Q T D", "ENSATDCIGHZ" },
	{ "a query behind a statement", ">Q C", "ENSATDCIGHZ" },
	{ "a query behind its error", ">Q E", "ENSATDCIGHZ" },
	{ "a query in COPY IN", ">Q G", "ENSACZ" },
	{ "a query in COPY OUT", ">Q H", "ENSAdcCZ" },
	{ "a query behind COPY OUT", ">Q H c C", "ENSATDCIGHZ" },
	{ "a query behind COPY IN", ">Q G >c C", "ENSATDCIGHZ" },
	{ "Parse", ">P", "ENSA1" },
	{ "a duplicate Parse", ">U", "ENSA1" },
	{ "Bind", ">B", "ENSA2" },
	{ "Describe of a statement", ">s", "ENSAt" },
	{ "its second half", ">s t", "ENSATn" },
	{ "Describe of a portal", ">p", "ENSATn" },
	{ "Execute", ">E", "ENSADCIsGH" },
	{ "Execute in rows", ">E D", "ENSADCIsGH" },
	{ "Execute in COPY IN", ">E G", "ENSAC" },
	{ "Execute in COPY OUT", ">E H", "ENSAdcC" },
	{ "Close", ">C", "ENSA3" },
	{ "Sync", ">S", "ENSAZ" },
	{ "Sync behind its error", ">S E", "ENSAZ" },
	{ "a function call", ">F", "ENSAVZ" },
};

static bool
is_good(const char *good, unsigned type)
{
	return type != 0 && strchr(good, (int)type) != NULL;
}

Test(ledger, every_type_in_every_state)
{
	EACH(row, state_rows)
		for (unsigned type = 0; type < 256; type++) {
			struct story s = { 0 };
			struct owed ended = { .kind = 99 };
			bool is_end = true;
			enum ledger_verdict got;

			ledger_init(&s.ledger, &ops, &s);
			tell(&s, row->story, row->state);
			got = ledger_receive(&s.ledger, (uint8_t)type, &ended, &is_end);
			cr_expect_eq(got, is_good(row->good, type) ? LEDGER_PASS : LEDGER_VIOLATION, "%s: type 0x%02x",
				     row->state, type);
			cr_expect_eq(is_end, type == 'Z' && got == LEDGER_PASS, "%s: type 0x%02x", row->state, type);
			if (!is_end)
				cr_expect_eq(ended.kind, 99, "%s: type 0x%02x", row->state, type);
			ledger_fini(&s.ledger);
		}
}

/* What a walsender may say, and nobody else: after CopyDone its command goes on, and CopyData may come late. */
static const struct {
	const char *rule, *walsender, *other;
} replication_rows[] = {
	{ "CopyBothResponse", ">Q W d d c C C Z =0", ">Q !W" },
	{ "the end of a timeline", ">Q W d c d T D C C Z =0", ">Q H d c !T" },
	{ "a base backup of two tablespaces", ">Q T D C H d c H d c T D C C Z =0", ">Q T D C H d c !H" },
};

Test(ledger, some_replies_are_for_replication_alone)
{
	for (size_t i = 0; i < 2 * COUNT(replication_rows); i++) {
		struct story s = { 0 };

		ledger_init(&s.ledger, &ops, &s);
		s.ledger.is_replication = i % 2 == 0;
		tell(&s, i % 2 == 0 ? replication_rows[i / 2].walsender : replication_rows[i / 2].other,
		     replication_rows[i / 2].rule);
		ledger_fini(&s.ledger);
	}
}

/* --- The rest of the contract. --- */

static const struct {
	const char *rule, *story;
	bool want;
} row_rows[] = {
	{ "nothing owed", "", false },	      { "a client's query", ">Q", true },  { "our own query", ">Q!", false },
	{ "a client's Execute", ">E", true }, { "an injected one", ">E^", false }, { "a Parse", ">P >E", false },
	{ "in COPY", ">Q H", false },	      { "behind it", ">Q H c C", true },
};

Test(ledger, rows_take_the_fast_path_only_when_the_client_waits_for_rows)
{
	EACH(row, row_rows) {
		struct story s = { 0 };

		ledger_init(&s.ledger, &ops, &s);
		tell(&s, row->story, row->rule);
		cr_expect_eq(ledger_expects_row(&s.ledger), row->want, "%s", row->rule);
		ledger_fini(&s.ledger);
	}
}

Test(ledger, what_is_left_is_settled_as_skipped_and_the_ledger_may_be_used_again)
{
	struct story s = { 0 };

	ledger_init(&s.ledger, &ops, &s);
	tell(&s, ">P >Q >m >s >S >E >c >k 1", "left");
	ledger_fini(&s.ledger);
	cr_expect_str_eq(s.log, "+P ~m ~s ~E ~k");
	cr_expect_eq(s.ledger.count, 0);
	s.log[0] = '\0';
	tell(&s, ">P >S 1 Z =0", "again");
	cr_expect_str_eq(s.log, "+P");
	ledger_fini(&s.ledger);
	ledger_fini(&s.ledger);
}

Test(ledger, an_entry_without_a_ref_is_settled_in_silence)
{
	struct story s = { 0 };

	ledger_init(&s.ledger, &ops, &s);
	ledger_push(&s.ledger, OWED_PARSE, OWED_TO_CLIENT, NULL);
	ledger_push(&s.ledger, OWED_BIND, OWED_TO_CLIENT, NULL);
	tell(&s, ">S 1 E Z =0", "no ref");
	cr_expect_str_eq(s.log, "");
	ledger_fini(&s.ledger);
}

static void
begin_with_waiting(struct story *s)
{
	static char ref;

	ref = 'm';
	ledger_init(&s->ledger, &ops, s);
	ledger_enter_fast(&s->ledger, (struct owed){ .kind = OWED_LOCAL_PARSE, .phase = 1, .ref = &ref });
	cr_expect_str_eq(s->log, "");
	cr_expect(ledger_is_all_local(&s->ledger));
}

Test(ledger, a_local_reply_may_wait_for_the_servers_next_one)
{
	struct story s = { 0 };

	begin_with_waiting(&s);
	ledger_push(&s.ledger, OWED_BIND, OWED_TO_CLIENT, NULL);
	cr_expect_str_eq(s.log, "");
	cr_expect_not(ledger_is_all_local(&s.ledger));
	cr_expect(ledger_local_is_due(&s.ledger));
	ledger_advance(&s.ledger);
	cr_expect_str_eq(s.log, "*m +m");
	tell(&s, ">S 2 Z =0", "the rest");
	ledger_fini(&s.ledger);
}

Test(ledger, a_local_reply_that_waits_is_skipped_with_its_connection)
{
	struct story s = { 0 };

	begin_with_waiting(&s);
	ledger_push(&s.ledger, OWED_BIND, OWED_TO_CLIENT, NULL);
	ledger_fini(&s.ledger);
	cr_expect_str_eq(s.log, "~m");
}

Test(ledger, a_request_comes_back_with_what_was_known_of_it)
{
	struct story s = { 0 };
	struct owed ended;
	bool is_end;

	ledger_init(&s.ledger, &ops, &s);
	ledger_push_request(&s.ledger, OWED_QUERY, OWED_TO_PING, &(struct owed_request){ 77, 5, 0 });
	cr_expect_eq(ledger_receive(&s.ledger, 'Z', &ended, &is_end), LEDGER_SWALLOW);
	cr_expect(is_end);
	cr_expect_eq(ended.kind, OWED_QUERY);
	cr_expect_eq(ended.to, OWED_TO_PING);
	cr_expect_eq(ended.started_us, 77);
	cr_expect_eq(ended.statements, 5);
	ledger_fini(&s.ledger);
}

struct numbers {
	uintptr_t settled; /* refs are 1, 2, ...: they must come in that order */
	uintptr_t local;
};

static void
count_settled(void *arg, const struct owed *o, enum owed_end how)
{
	struct numbers *n = arg;

	cr_assert_eq((uintptr_t)o->ref, ++n->settled, "in order");
}

static void
count_made(void *arg, const struct owed *o)
{
	((struct numbers *)arg)->local++;
}

static const struct ledger_ops counting_ops = { count_settled, count_made, NULL };

Test(ledger, it_grows_when_its_ring_goes_over_the_end)
{
	for (uintptr_t before = 0; before < 40; before++) {
		struct numbers n = { 0 };
		struct ledger l;
		uintptr_t pushed = 0;
		struct owed ended;
		bool is_end;

		ledger_init(&l, &counting_ops, &n);
		while (pushed < before) { /* the head is somewhere in the ring then */
			ledger_push(&l, OWED_PARSE, OWED_TO_CLIENT, (void *)++pushed);
			cr_assert_eq(ledger_receive(&l, '1', &ended, &is_end), LEDGER_PASS);
		}
		for (; pushed < before + 100; pushed++)
			ledger_push(&l, pushed % 2 ? OWED_BIND : OWED_CLOSE, OWED_TO_CLIENT, (void *)(pushed + 1));
		cr_expect_eq(l.count, 100);
		for (uintptr_t i = before; i < pushed; i++)
			cr_assert_eq(ledger_receive(&l, i % 2 ? '2' : '3', &ended, &is_end), LEDGER_PASS);
		cr_expect_eq(n.settled, pushed);
		ledger_fini(&l);
	}
}

Test(ledger, it_takes_so_many_and_no_more)
{
	struct numbers n = { 0 };
	struct ledger l;
	struct owed ended;
	bool is_end;
	uintptr_t pushed = 0;

	ledger_init(&l, &counting_ops, &n);
	while (pushed < LEDGER_MAX)
		ledger_push(&l, OWED_BIND, OWED_TO_CLIENT, (void *)++pushed);
	cr_expect_eq(l.trust, LEDGER_SYNCHRONISED);
	ledger_push(&l, OWED_BIND, OWED_TO_CLIENT, (void *)1);
	cr_expect_eq(l.count, LEDGER_MAX, "nothing was entered");
	cr_expect_eq(n.settled, 1, "but settled, as everything is");
	cr_expect_eq(l.trust, LEDGER_SHORT);
	n.settled = 0;
	cr_assert_eq(ledger_receive(&l, '2', &ended, &is_end), LEDGER_PASS);
	cr_expect_eq(l.trust, LEDGER_SHORT, "for good, as one is missing");
	ledger_fini(&l);
	cr_expect_eq(n.settled, pushed);
	cr_expect_eq(l.trust, LEDGER_SYNCHRONISED);
}

Test(ledger, names_for_the_log)
{
	for (int kind = OWED_QUERY; kind <= OWED_LOCAL_CLOSE; kind++)
		cr_expect_gt(strlen(owed_kind_name((enum owed_kind)kind)), 3);
	cr_expect_str_eq(owed_kind_name(OWED_EXECUTE), "Execute");
	cr_expect_str_eq(owed_kind_name(OWED_LOCAL_CLOSE), "Close");
}
